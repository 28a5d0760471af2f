#!/bin/bash
# Builds everything and runs all tests, all of them even when one fails. As root the interop tests run too, against
# Debian's Corosync, in namespaces of this machine (missing Debian packages are installed first); otherwise it says what
# was left out. About 20 minutes on two cores, half of it the interop tests; each section's heading tells the time since
# the start, and each test's line comes when the test ends.
#
#   scripts/test.sh              all tests, with the counts for every day
#   ANNULUS_INTEROP_FULL=1 …     the full counts: 100,000 messages a sender, 1,000,000 datagrams, 100,000 requests
#   ANNULUS_TEST_LIMIT=3600 …    seconds after which the tests, once built, are ended unless run from a terminal
set -euo pipefail
cd "$(dirname "$0")/.."

section() { printf '\n== %s (%d:%02d since the start)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

section "packages that the tests need"
left_out=
if ! scripts/install-peers.sh; then
    left_out="the interop tests: Debian packages are missing (see above)"
elif [ "$(id -u)" -ne 0 ]; then
    left_out="the interop tests: hosts as network namespaces need root"
fi

section "build: library, programs, tests, examples, benchmarks (five minutes when nothing is built yet)"
cargo build --all-targets --locked
if [ -z "$left_out" ]; then
    # Built here, so that a failure to build is not a failed test.
    section "build: the client of Corosync's libraries that the interop tests drive"
    cargo build --release --locked --manifest-path tests/interop/peer/Cargo.toml
fi
cargo test --no-run --quiet --locked "$@"

section "tests"
# Cargo names each program before it runs; the time since the start is put in front.
with_times() {
    awk -v start="$SECONDS" 'BEGIN { "date +%s" | getline began; close("date +%s") }
        /^ +(Running|Doc-tests) / {
            "date +%s" | getline now; close("date +%s")
            since = now - began + start
            printf "\n== %d:%02d ", since / 60, since % 60
        }
        { print; fflush() }'
}
# What hangs must end with a failure that names it: the last tests said to be running "for over 60 seconds".
seconds=3600
[ "${ANNULUS_INTEROP_FULL:-}" != 1 ] || seconds=7200
limit=(timeout --kill-after=30 "${ANNULUS_TEST_LIMIT:-$seconds}")
[ ! -t 0 ] || limit=()
failed=0
"${limit[@]}" cargo test --no-fail-fast --locked "$@" 2>&1 | with_times || failed=$?

section "end"
if [ -n "$left_out" ]; then
    echo "left out: $left_out"
    [ "${CI:-}" != true ]
fi
[ "$failed" -ne 124 ] || echo "ended after ${ANNULUS_TEST_LIMIT:-$seconds} s: the tests hang, or the machine is slower than that"
exit "$failed"
