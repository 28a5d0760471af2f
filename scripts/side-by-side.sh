#!/bin/bash
# Annulus and Debian's Corosync in the same run, on this machine: messages and bytes a second and latency through
# Debian's libcpg, on 1 and 3 hosts (namespaces), udp and udpu, as a table with ratios. A quarter of an hour; root.
#
#   scripts/side-by-side.sh knet   knet instead, clear and encrypted, medians of three rounds, and memory
#
#   ANNULUS_BENCH_SECONDS=2      length of one measurement
#   ANNULUS_BENCH_ROUNDS=2       how often each is made, ours and theirs by turns; the mean counts
#   ANNULUS_BENCH_JSON=FILE      the figures as JSON too
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --release --quiet
cargo build --release --quiet --locked --manifest-path tests/interop/peer/Cargo.toml
case "${1:-}" in
knet) test=knet_bench::knet_side_by_side ;;
*) test=side_by_side::side_by_side ;;
esac
# The test program drives; what is measured are the release daemon and the release client.
ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" \
    cargo test --quiet --test interop -- --ignored --exact "$test" --nocapture --test-threads=1
