#!/bin/bash
# Installs what the tests need of Debian: the real Corosync, its libraries, what runs on it, Wireshark's dissectors, a
# C compiler, the machine's own tools. Only what is missing, and only as root; otherwise it says what is missing and
# exits 1. `tests/packages.rs` holds this list against what the tests start.
#
#   scripts/install-peers.sh            installs
#   scripts/install-peers.sh --list     prints the packages, one a line
set -euo pipefail

packages=(
    # The engine and its libraries; corosync-notifyd is a package of its own.
    corosync corosync-notifyd libcpg-dev libcfg-dev libcmap-dev libquorum-dev libvotequorum-dev libsam-dev libqb-dev
    gcc libc6-dev
    # What runs on it.
    pacemaker pacemaker-cli-utils resource-agents crmsh pcs
    corosync-qdevice corosync-qnetd libnss3-tools dlm-controld sbd
    # The machine's own; systemd for its checks of units, which need no running systemd; man for those of pages.
    tshark wireshark-common iproute2 nftables util-linux procps systemd man-db groff-base python3-minimal
    # For scripts/trixie.sh, which makes a system with another version of the engine.
    debootstrap
)

if [ "${1:-}" = --list ]; then
    printf '%s\n' "${packages[@]}"
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$state" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "install-peers: no apt-get here; missing: ${missing[*]}" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "install-peers: not root; missing: ${missing[*]} (as root: apt-get install ${missing[*]})" >&2
    exit 1
fi

echo "install-peers: installing ${missing[*]}"
# The packages must not start a daemon on this machine: the tests start their own, in namespaces.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
# Neither a mirror that does not answer nor another's lock may hold us for ever.
apt=(timeout --kill-after=10 300 apt-get -q -o Acquire::Retries=3 -o Acquire::http::Timeout=30 -o DPkg::Lock::Timeout=120)
"${apt[@]}" update </dev/null >/dev/null
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null
