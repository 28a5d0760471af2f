#!/bin/bash
# Builds everything and runs all tests. As root the interop tests run too, against Debian's Corosync, in namespaces of
# this machine (missing Debian packages are installed first); otherwise it says what was left out.
#
#   scripts/test.sh              all tests, with the counts for every day
#   ANNULUS_INTEROP_FULL=1 …     the full counts: 100,000 messages a sender, 1,000,000 datagrams, 100,000 requests
#   ANNULUS_TEST_LIMIT=2700 …   seconds after which the tests, once built, are ended unless run from a terminal
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
# What hangs must end with a failure that names it: the last tests said to be running "for over 60 seconds".
cargo test --no-run --quiet "$@"
seconds=2700
[ "${ANNULUS_INTEROP_FULL:-}" != 1 ] || seconds=7200
limit=(timeout --kill-after=30 "${ANNULUS_TEST_LIMIT:-$seconds}")
[ ! -t 0 ] || limit=()
"${limit[@]}" cargo test "$@"

if [ -n "$left_out" ]; then
    echo "left out: $left_out"
    [ "${CI:-}" != true ]
fi
