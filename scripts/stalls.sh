#!/bin/bash
# How long local clients can keep each daemon from its ring: every kind of hostile client beside a ring of two with a
# token time-out of 300 ms, annulusd first, then Debian's Corosync. Prints a table. Root; about eight minutes. The
# machine should do nothing else: the first line of the table tells its noise.
#
#   ANNULUS_STALL_SECONDS=8     how long each runs
#   ANNULUS_STALL_ONLY=refused  one kind alone; the names are in tests/interop/hostile/clients.rs
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --release --quiet
cargo build --release --quiet --locked --manifest-path tests/interop/peer/Cargo.toml
ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" \
    cargo test --quiet --test interop -- hostile::stalls::table --ignored --nocapture --test-threads=1
