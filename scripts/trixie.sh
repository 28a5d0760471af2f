#!/bin/bash
# Debian 13's Corosync as a second peer of the interop tests: makes a system of its own for it with debootstrap (once,
# two minutes, 300 MB), then runs the tests that need it, on udpu and knet. Root; some minutes.
#
#   scripts/trixie.sh                    makes it and runs the tests
#   scripts/trixie.sh --install          only makes it
#   ANNULUS_TRIXIE=DIR                   where it lies; target/trixie
#   ANNULUS_TRIXIE_MIRROR=URL            where it comes from; the mirror of this system
#   ANNULUS_INTEROP_MIXES=AT/knet,...    other mixes: T is Debian 13's Corosync, C this system's, A annulusd
set -euo pipefail
cd "$(dirname "$0")/.."
root="$(realpath -m "${ANNULUS_TRIXIE:-target/trixie}")"
export ANNULUS_TRIXIE="$root"
scripts/install-peers.sh

if [ ! -x "$root/usr/sbin/corosync" ]; then
    [ "$(id -u)" -eq 0 ] || { echo "trixie: debootstrap needs root" >&2; exit 1; }
    mirror="${ANNULUS_TRIXIE_MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian/*$' || true)}"
    mirror="${mirror:-http://deb.debian.org/debian}"
    echo "trixie: making $root from $mirror"
    # A system that is half made is not taken for a whole one.
    rm -rf "$root.new"
    mkdir -p "$root.new"
    timeout --kill-after=10 900 debootstrap --variant=minbase --include=corosync trixie "$root.new" "$mirror" \
        </dev/null >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; exit 1; }
    rm -rf "$root.new/var/cache/apt/archives" "$root"
    mv "$root.new" "$root"
fi
chroot "$root" corosync -v | head -n 1
[ "${1:-}" != --install ] || exit 0

cargo build --release --quiet
cargo build --release --quiet --locked --manifest-path tests/interop/peer/Cargo.toml
ANNULUSD="${ANNULUSD:-${CARGO_TARGET_DIR:-$PWD/target}/release/annulusd}" \
    cargo test --quiet --test interop -- --ignored mixed::trixie:: --nocapture --test-threads=1
