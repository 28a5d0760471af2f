#!/bin/bash
# Knet in rings of Debian's Corosync and annulusd, in full: streams on every arrangement of hosts and with every cipher and
# hash; links cut, healed, added, removed under load; key and cipher changed under load; pcs. Root; an hour.
#
#   scripts/knet.sh                              # all
#   scripts/knet.sh links                        # those of one kind: streams, links, rekey, pcs
#   ANNULUS_INTEROP_MIXES=ACA/knet2 scripts/knet.sh links        # on other mixes than its own; knet: all
#   ANNULUS_INTEROP_MIXES=knet scripts/mixed.sh votes            # votes, tools and groups on knet
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --release --quiet
cargo build --release --quiet --locked --manifest-path tests/interop/peer/Cargo.toml
for topic in ${1:-streams links rekey pcs}; do
    case "$topic" in
    streams) tests=mixed::stream:: ;;
    links) tests=mixed::links:: ;;
    rekey) tests=mixed::rekey:: ;;
    pcs) tests=pcs:: ;;
    *) echo "knet: no $topic: streams, links, rekey or pcs" >&2; exit 2 ;;
    esac
    ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" \
        cargo test --quiet --test interop -- --ignored "$tests" --nocapture --test-threads=1
done
