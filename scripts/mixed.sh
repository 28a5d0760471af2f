#!/bin/bash
# Votes, tools and groups of mixed rings in full: every story on Corosync alone and on each of a dozen mixes of Corosync
# and annulusd at the same time, and what was said compared. Root; an hour.
#
#   scripts/mixed.sh                                        # all
#   scripts/mixed.sh votes                                  # those of one kind: votes, tools, groups
#   ANNULUS_INTEROP_MIXES=all scripts/mixed.sh groups       # on every mix; or a list of them: ACC/udpu,CAA/udp
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --release --quiet
cargo build --release --quiet --locked --manifest-path tests/interop/peer/Cargo.toml
export ANNULUS_INTEROP_FULL=1
for topic in ${1:-votes tools groups}; do
    ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" \
        cargo test --quiet --test interop -- --include-ignored "mixed::$topic::" --nocapture --test-threads=1
done
