#!/bin/bash
# Debian's Pacemaker on three hosts (namespaces), on Corosync and on annulusd, udpu and udp: resources of three kinds, a
# host cut off and healed, each host's daemon killed and started again, the shells. Prints how long each step took on
# both. A quarter of an hour; root.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --release --quiet
ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" \
    cargo test --quiet --test interop -- --ignored --exact pacemaker::pacemaker_side_by_side --nocapture --test-threads=1
