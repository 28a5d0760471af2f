#!/bin/bash
# The configuration database under load, Annulus and Debian's Corosync in the same run: 100,000 keys, 1,000 trackers,
# 10,000 sets a second by one client of Debian's libcmap while the ring carries messages. Prints rates, times and
# memory of both. A few minutes; root.
#
#   ANNULUS_LOAD_KEYS=100000 ANNULUS_LOAD_TRACKERS=1000 ANNULUS_LOAD_RATE=10000 ANNULUS_LOAD_SECONDS=5
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --release --quiet
ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" \
    cargo test --quiet --test interop -- --ignored --exact database::many_keys_and_trackers --nocapture --test-threads=1
