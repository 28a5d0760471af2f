#!/bin/bash
# A mixed ring for half an hour: streams, clients that come and go, a fault every 20 s, and the daemons' memory sampled.
# Prints a table of figures at its end; fails when something differs between the hosts or our memory grows. Root.
#
#   scripts/soak.sh                        five hosts, udpu
#   ANNULUS_INTEROP_SOAK_SECONDS=1800      how long
#   ANNULUS_INTEROP_MIXES=CACAC/udp        another mix, or more than one with commas
#   ANNULUS_INTEROP_SEED=N                 the same faults again
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --release --quiet
cargo build --release --quiet --locked --manifest-path tests/interop/peer/Cargo.toml
# The test program drives; what is measured is the release daemon.
ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" RUST_BACKTRACE="${RUST_BACKTRACE:-0}" \
    cargo test --quiet --test interop -- --ignored --exact mixed::soak::a_long_run --nocapture --test-threads=1
