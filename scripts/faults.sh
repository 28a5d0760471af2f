#!/bin/bash
# Random faults on rings of Debian's Corosync and annulusd, the full counts: 200 steps on each of many mixes, some of
# them side by side as they mostly wait. An hour or more; root.
#
#   scripts/faults.sh                 all of the mixes below
#   scripts/faults.sh ACA/udp CC/udpu these
#   ANNULUS_INTEROP_STEPS=200        steps of each
#   ANNULUS_INTEROP_SEED=N           the same steps again; each run prints its seed
#   ANNULUS_FAULTS_BESIDE=3           mixes at a time
#   ANNULUS_FAULTS_LOGS=DIR           where what they say goes; target/faults
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-peers.sh
cargo build --quiet --release --locked --manifest-path tests/interop/peer/Cargo.toml
built="$(cargo test --test interop --no-run 2>&1)" || { echo "$built"; exit 1; }
program="$(sed -n 's/^ *Executable .*interop.*(\(.*\))$/\1/p' <<<"$built")"

mixes=("$@")
if [ "${#mixes[@]}" -eq 0 ]; then
    for hosts in AC CA ACC CAA CAC ACA AACC CCAA ACAC ACACC CACAA; do
        mixes+=("$hosts/udpu" "$hosts/udp")
    done
fi
logs="${ANNULUS_FAULTS_LOGS:-$PWD/target/faults}"
mkdir -p "$logs"
export ANNULUS_INTEROP_STEPS="${ANNULUS_INTEROP_STEPS:-200}" logs program CI=true RUST_BACKTRACE="${RUST_BACKTRACE:-0}"

one() {
    log="$logs/${1/\//-}.log"
    if ANNULUS_INTEROP_MIXES="$1" "$program" --exact mixed::faults::random_faults --nocapture \
        >"$log" 2>&1; then
        grep " steps in " "$log"
    else
        echo "$1 FAILED: $log"
        grep -A1 -m1 "panicked" "$log" || tail -n 3 "$log"
        return 1
    fi
}
export -f one
printf '%s\n' "${mixes[@]}" | xargs -P "${ANNULUS_FAULTS_BESIDE:-3}" -I{} bash -c 'one {}'
