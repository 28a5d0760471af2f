#!/bin/bash
# A Corosync cluster of hosts (namespaces) under Debian's Pacemaker, handed over host by host to annulusd and back while
# its resources run: three hosts and two, knet with two encrypted links, udpu and udp, in maintenance and with standby.
# Checks what each resource agent was told to do, and prints how long each step took. Root.
#
#   scripts/handover.sh                 # all: 20 minutes
#   scripts/handover.sh two_encrypted   # knet alone
#   scripts/handover.sh two_hosts       # those whose name begins with this
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --release --quiet
ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" \
    cargo test --quiet --test interop -- --ignored "mixed::handover::${1:-}" --nocapture --test-threads=1
