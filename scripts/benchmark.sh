#!/bin/bash
# Measures annulusd and Debian's Corosync by turns in one run, through the same client of libcpg, annulusd also through
# this crate's own client, and writes BENCHMARKS.md. Root; needs what scripts/install-peers.sh installs. Nothing else
# should run on the machine.
#
#   scripts/benchmark.sh           all rows (more than an hour)
#   scripts/benchmark.sh ROWS      the rows whose names begin with one of ROWS, separated by semicolons, for example
#                                  'udpu, 3 hosts, 3 senders; udp, 3 hosts'; BENCHMARKS.md stays as it is
#
# ANNULUS_BENCH_ROUNDS=3   rounds; the table has medians, and the least and greatest value
# ANNULUS_BENCH_SECONDS=2  length of one measurement
# ANNULUSD=FILE            the daemon in the place of the release build
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
--help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
[ $# -le 1 ] || { echo "benchmark: one argument at most; --help explains it" >&2; exit 2; }
export ANNULUS_BENCH_ROWS="${1:-}"
table="$(mktemp)"
trap 'rm -f "$table"' EXIT
export ANNULUS_BENCH_OUT="$table"
export ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}"
scripts/interop.sh benchmark
[ -z "$ANNULUS_BENCH_ROWS" ] || exit 0
{
    cat <<END
# Benchmarks

annulusd beside Debian's Corosync: hosts are network namespaces of one machine, all clients are the same program on
Debian's libcpg, and the daemons are measured by turns. The column "own client" is annulusd through this crate's client
(\`examples/cpg_speed.rs\`). A cell is the median of the rounds, with the least and the greatest in parentheses; a ratio
is annulus' median to Corosync's. For times, a ratio below 1 is better.

* $(date -u +%F), $("$ANNULUSD" --version | head -1), $(corosync -v | head -1)
* $(nproc) processors: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), Linux $(uname -r)
* \`scripts/benchmark.sh\`, ${ANNULUS_BENCH_ROUNDS:-3} rounds of ${ANNULUS_BENCH_SECONDS:-2} s

END
    cat "$table"
} >BENCHMARKS.md
