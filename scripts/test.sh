#!/bin/bash
# Builds everything and runs all tests. As root the interop tests run too, against Debian's Corosync, in namespaces of
# this machine (missing Debian packages are installed first); otherwise it says what was left out.
#
#   scripts/test.sh              all tests, with the counts for every day
#   ANNULUS_INTEROP_FULL=1 …     the full counts: 100,000 messages a sender, 1,000,000 datagrams, 100,000 requests
set -euo pipefail
cd "$(dirname "$0")/.."

left_out=
if ! scripts/install-peers.sh; then
    left_out="the interop tests: Debian packages are missing (see above)"
elif [ "$(id -u)" -ne 0 ]; then
    left_out="the interop tests: hosts as network namespaces need root"
fi

cargo build --all-targets
if [ -z "$left_out" ]; then
    # Built here, so that a failure to build is not a failed test.
    cargo build --release --locked --manifest-path tests/interop/peer/Cargo.toml
fi
cargo test "$@"

if [ -n "$left_out" ]; then
    echo "left out: $left_out"
    [ "${CI:-}" != true ]
fi
