#!/bin/bash
# What an idle daemon in a ring of three costs: share of a core and resident memory, ours and Debian's. Root.
#
#   ANNULUS_IDLE_SECONDS=60      how long is measured
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --release --quiet
cargo build --release --quiet --locked --manifest-path tests/interop/peer/Cargo.toml
export ANNULUS_IDLE_SECONDS="${ANNULUS_IDLE_SECONDS:-60}"
ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" \
    cargo test --quiet --test interop -- --exact idle::an_idle_daemon_costs_little --nocapture --test-threads=1
