#!/bin/bash
# Rings of Debian's Corosync and annulusd together, beside rings of one kind: three senders at full speed, what is
# carried, how much is sent again, and who gets how much of the ring. Ten minutes; root.
#
#   ANNULUS_BENCH_SECONDS=2             length of one measurement
#   ANNULUS_BENCH_ROUNDS=1              how often the whole is made
#   ANNULUS_INTEROP_SIZES=64,1000       sizes of the messages
#   ANNULUS_INTEROP_MIXES=CCC/udpu,...  the rings: A is annulusd, C is Corosync, host by host
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --release --quiet
cargo build --release --quiet --locked --manifest-path tests/interop/peer/Cargo.toml
ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" \
    cargo test --quiet --test interop -- --ignored --exact mixed::neighbours::throughput_of_mixed_rings --nocapture --test-threads=1
