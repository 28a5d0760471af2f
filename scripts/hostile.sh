#!/bin/bash
# Hostile input in full: one million mutated datagrams and 100,000 mutated handshakes and requests against a running
# ring of three. Root; a few minutes.
#
#   ANNULUS_HOSTILE_DATAGRAMS, ANNULUS_HOSTILE_REQUESTS      other counts
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --release --quiet
cargo build --release --quiet --locked --manifest-path tests/interop/peer/Cargo.toml
export ANNULUS_HOSTILE_DATAGRAMS="${ANNULUS_HOSTILE_DATAGRAMS:-1000000}"
export ANNULUS_HOSTILE_REQUESTS="${ANNULUS_HOSTILE_REQUESTS:-100000}"
ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" \
    cargo test --quiet --test interop -- hostile::mutated --nocapture --test-threads=1
