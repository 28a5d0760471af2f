#!/bin/bash
# Runs the long tests and measurements of tests/interop, with annulusd as a release build beside Debian's Corosync, on
# hosts that are namespaces of this machine. Root. Nothing else should run on the machine during a measurement.
#
#   scripts/interop.sh NAME             all of it
#   scripts/interop.sh NAME PART        one part alone, where it has parts
#   scripts/interop.sh --list           the names with what they run, how long that takes, parts and variables
#   scripts/interop.sh --help           this text
#
# ANNULUSD=FILE is the daemon in the place of the release build.
set -euo pipefail
cd "$(dirname "$0")/.."

# One entry a line: the name, its parts ("-": none; "any": the beginning of a test's name), the time, what it runs. The
# variables that it obeys follow, each on a line that begins with a blank.
table='
bad-network|-|half an hour|three senders at full speed on networks that lose, double and reorder, beside Corosync
 ANNULUS_NETWORK_SECONDS=60           length of each phase; ten times as long on the clean network
benchmark|-|more than an hour|both daemons by turns, row by row, medians; scripts/benchmark.sh writes them down
 ANNULUS_BENCH_SECONDS=2              length of one measurement
 ANNULUS_BENCH_ROUNDS=3               how often each is made
 ANNULUS_BENCH_ROWS=ROW;ROW           the beginnings of the names of rows
 ANNULUS_BENCH_ALONE=1                annulusd alone
 ANNULUS_BENCH_OUT=FILE               the table
confdb-load|-|a few minutes|the database: 100,000 keys, 1000 trackers and 10,000 sets a second by a client of libcmap
 ANNULUS_LOAD_KEYS=100000 ANNULUS_LOAD_TRACKERS=1000 ANNULUS_LOAD_RATE=10000 ANNULUS_LOAD_SECONDS=5
failover|-|two hours|how long until a resource of Pacemaker runs elsewhere after its host failed, beside Corosync
 ANNULUS_FAILOVER_RUNS=10             runs of each kind of failure and of host
 ANNULUS_FAILOVER_ONLY=WORDS          the daemons and failures whose names contain a word
 ANNULUS_FAILOVER_TOTEM=LINE;LINE     further lines of section totem for annulusd
handover|any|20 minutes|a Corosync cluster under Pacemaker, moved host by host to annulusd and back
hostile|-|a few minutes|a million mutated datagrams, 100,000 mutated handshakes and requests, against a ring of three
 ANNULUS_HOSTILE_DATAGRAMS=1000000 ANNULUS_HOSTILE_REQUESTS=100000
idle|-|some minutes|what an idle daemon in a ring of three costs: share of a core and resident memory
 ANNULUS_IDLE_SECONDS=60              how long is measured
knet|streams links rekey pcs|an hour|knet in mixed rings: streams with every cipher, links, change of keys, pcs
 ANNULUS_INTEROP_MIXES=ACA/knet2      other mixes than those of the tests; knet: all of knet
mixed|votes tools groups|an hour|votes, tools and groups of a dozen mixed rings, compared with Corosync alone
 ANNULUS_INTEROP_MIXES=ACC/udpu,...   other mixes; all: every mix of udp and udpu; knet: all of knet
neighbours|-|ten minutes|throughput of mixed rings beside rings of one kind, retransmissions, and who gets how much
 ANNULUS_BENCH_SECONDS=2              length of one measurement
 ANNULUS_BENCH_ROUNDS=1               how often the whole is made
 ANNULUS_INTEROP_SIZES=64,1000        sizes of the messages
 ANNULUS_INTEROP_MIXES=CCC/udpu,...   the rings
pacemaker|-|a quarter of an hour|Pacemaker on three hosts, on Corosync and on annulusd: how long each step takes on both
side-by-side|knet|a quarter of an hour|throughput and latency through libcpg; knet: on knet instead, and memory
 ANNULUS_BENCH_SECONDS=2              length of one measurement
 ANNULUS_BENCH_ROUNDS=2               how often each is made; the mean counts (knet: 3, the median)
 ANNULUS_BENCH_JSON=FILE              the figures as JSON too
size|-|half an hour|32, 48 and 64 hosts that start at once, beside Corosync: time until one ring, idle cost, a return
 ANNULUS_SIZE_HOSTS=32,48,64          other sizes
 ANNULUS_SIZE_SECONDS=10              for how long the idle ring is measured
 ANNULUS_SIZE_ALONE=1                 annulusd alone
soak|-|half an hour|one mixed ring under load with a fault every 20 s, and the memory of the daemons
 ANNULUS_INTEROP_SOAK_SECONDS=1800    how long
 ANNULUS_INTEROP_MIXES=CACAC/udp      another mix, or more than one with commas
 ANNULUS_INTEROP_SEED=N               the same faults again
stalls|-|eight minutes|how long each kind of hostile local client keeps each daemon from its ring
 ANNULUS_STALL_SECONDS=8              how long each kind runs
 ANNULUS_STALL_ONLY=refused           one kind alone; the names are in tests/interop/hostile/clients.rs
steady|-|40 minutes|three senders while hosts, network, disk and clock behave badly, and a host killed meanwhile
 ANNULUS_STEADY_SECONDS=60            length of a phase
 ANNULUS_STEADY_ONLY=WORD             the conditions whose names contain the word
 ANNULUS_STEADY_ALONE=1               annulusd alone
 ANNULUS_STEADY_CLOCK=1               also steps the clock of this machine
'

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; }

list() {
    while IFS='|' read -r name parts time what; do
        case "$name" in
        "") ;;
        " "*) printf '    %s\n' "${name# }" ;;
        *)
            printf '%s: %s (%s)\n' "$name" "$what" "$time"
            case "$parts" in
            -) ;;
            any) printf '    part: the beginning of the name of a test below mixed::%s\n' "$name" ;;
            *) printf '    part: %s\n' "$parts" ;;
            esac
            ;;
        esac
    done <<<"$table"
}

refuse() {
    echo "interop: $*" >&2
    exit 2
}

case "${1:-}" in
--help) usage; exit 0 ;;
--list) list; exit 0 ;;
"") usage >&2; exit 2 ;;
esac
name=$1 part=${2:-}
[ $# -le 2 ] || refuse "one NAME and at most one PART are given at a time"
entry="$(awk -F '|' -v name="$name" '/^[a-z]/ && $1 == name' <<<"$table")"
[ -n "$entry" ] || refuse "there is no $name; scripts/interop.sh --list prints the names"
parts="$(cut -d '|' -f 2 <<<"$entry")"
case "$parts" in
any) ;;
-) [ -z "$part" ] || refuse "$name has no parts" ;;
*) [[ -z "$part" || " $parts " == *" $part "* ]] || refuse "$name has no part $part; it has: $parts" ;;
esac

# The arguments of the test program, one line for each run of it.
case "$name" in
bad-network) runs='--ignored --exact bad_network::a_loaded_ring_stays_together_on_bad_networks' ;;
benchmark) runs='--ignored --exact benchmark::benchmark' ;;
confdb-load) runs='--ignored --exact database::many_keys_and_trackers' ;;
failover) runs='--ignored --exact pacemaker::failover::a_resource_runs_elsewhere_soon_after_its_host_failed' ;;
handover) runs="--ignored mixed::handover::$part" ;;
hostile)
    export ANNULUS_HOSTILE_DATAGRAMS="${ANNULUS_HOSTILE_DATAGRAMS:-1000000}"
    export ANNULUS_HOSTILE_REQUESTS="${ANNULUS_HOSTILE_REQUESTS:-100000}"
    runs='hostile::mutated'
    ;;
idle)
    export ANNULUS_IDLE_SECONDS="${ANNULUS_IDLE_SECONDS:-60}"
    runs='--exact idle::an_idle_daemon_costs_little'
    ;;
knet)
    runs=
    for one in ${part:-$parts}; do
        case "$one" in
        streams) tests=mixed::stream:: ;;
        pcs) tests=pcs:: ;;
        *) tests=mixed::$one:: ;;
        esac
        runs+="--ignored $tests"$'\n'
    done
    ;;
mixed)
    export ANNULUS_INTEROP_FULL=1
    runs="$(printf -- '--include-ignored mixed::%s::\n' ${part:-$parts})"
    ;;
neighbours) runs='--ignored --exact mixed::neighbours::throughput_of_mixed_rings' ;;
pacemaker) runs='--ignored --exact pacemaker::pacemaker_side_by_side' ;;
side-by-side)
    runs='--ignored --exact side_by_side::side_by_side'
    [ -z "$part" ] || runs='--ignored --exact knet_bench::knet_side_by_side'
    ;;
size) runs='--ignored --exact size::many_hosts_start_at_once' ;;
soak)
    export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"
    runs='--ignored --exact mixed::soak::a_long_run'
    ;;
stalls) runs='--ignored hostile::stalls::table' ;;
steady) runs='--ignored --exact steady::members_that_run_stay_and_dead_ones_are_out_in_time' ;;
esac

scripts/install-peers.sh
cargo build --release --quiet
cargo build --release --quiet --locked --manifest-path tests/interop/peer/Cargo.toml
if [ "$name" = benchmark ]; then
    cargo build --release --quiet --example cpg_speed
    export CPG_SPEED="${CPG_SPEED:-${CARGO_TARGET_DIR:-$PWD/target}/release/examples/cpg_speed}"
fi
# The test program drives; what is measured are the release daemon and the release client.
export ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}"
while read -ra arguments; do
    [ ${#arguments[@]} -gt 0 ] || continue
    cargo test --quiet --test interop -- "${arguments[@]}" --nocapture --test-threads=1 </dev/null
done <<<"$runs"
