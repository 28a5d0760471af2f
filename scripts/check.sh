#!/bin/bash
# Checks of the sources beyond build and test. Each check says what is wrong, or "ok", or "skipped" with the reason;
# with CI=true in the environment a skipped check is a failure. All checks run even when one fails.
#
#   scripts/check.sh              the declared Rust version; lints without features and with each alone
#   scripts/check.sh --release    also the dependencies (deny.toml) and the spelling (typos.toml)
#
# The tools of the second part are taken from target/tools, where the script installs them with `cargo install` in the
# versions below: once, in about four minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

deny_version=0.20.2
typos_version=1.52.0

release=
case "$*" in
"") ;;
--release) release=1 ;;
*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

failed=0
step() { printf '\n== check: %s\n' "$*"; }
wrong() { printf 'wrong: %s\n' "$*"; failed=1; }
skipped() {
    printf 'skipped: %s\n' "$*"
    [ "${CI:-}" != true ] || failed=1
}

# Whether a version is at most another one.
at_most() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# The features of Cargo.toml without the default.
feature_names() {
    awk '/^\[/ { inside = $0 == "[features]"; next }
        inside && /^[a-z0-9_-]+ *=/ && $1 != "default" { print $1 }' Cargo.toml
}

rust_version() {
    declared="$(sed -n 's/^rust-version = "\([0-9.]*\)"$/\1/p' Cargo.toml)"
    used="$(rustc --version | cut -d ' ' -f 2)"
    if [ -z "$declared" ]; then
        wrong "Cargo.toml has no rust-version"
    elif ! at_most "$declared" "${used%%-*}"; then
        wrong "Cargo.toml asks for Rust $declared, and this is $used"
    elif ! grep -q "with Rust $declared or later" CONTRIBUTING.md; then
        wrong "CONTRIBUTING.md names another Rust version than Cargo.toml, which has $declared"
    else
        echo "ok: $declared is declared, $used is used"
    fi
}

# Clippy knows the declared version, too: it reports what the standard library does not have in it.
lint() {
    if cargo clippy --quiet --locked --lib --bins --no-default-features "${@:2}" -- -D warnings; then
        echo "ok: $1"
    else
        wrong "$1"
    fi
}

features() {
    lint "the library without features"
    for feature in $(feature_names); do
        lint "the feature $feature alone" --features "$feature"
    done
}

# Prints the path of a tool of a certain version, which is installed if it is not there.
tool() {
    local package=$1 program=$2 version=$3 tools="$PWD/target/tools"
    if ! "$tools/bin/$program" --version 2>/dev/null | grep -qF " $version"; then
        echo "installing $package $version into target/tools" >&2
        # Not optimised, as they run for seconds and take minutes to build.
        CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_TARGET_DIR="$tools/build" \
            cargo install --quiet --locked --force --root "$tools" --version "$version" "$package" >&2 || return 1
        rm -rf "$tools/build"
    fi
    echo "$tools/bin/$program"
}

dependencies() {
    local deny
    deny="$(tool cargo-deny cargo-deny "$deny_version")" || { skipped "cargo-deny cannot be installed"; return; }
    "$deny" --locked check --hide-inclusion-graph bans licenses sources || wrong "see deny.toml"
    # The advisories are in a repository of their own, which is fetched.
    if "$deny" fetch db >/dev/null 2>&1; then
        "$deny" --locked check --hide-inclusion-graph advisories || wrong "a dependency has a known fault"
    else
        skipped "the database of advisories cannot be fetched"
    fi
}

spelling() {
    local typos
    typos="$(tool typos-cli typos "$typos_version")" || { skipped "typos cannot be installed"; return; }
    if "$typos" --format brief; then echo "ok"; else wrong "see above; words of the project belong into typos.toml"; fi
}

step "declared Rust version"
rust_version
step "features"
features
if [ -n "$release" ]; then
    step "dependencies"
    dependencies
    step "spelling"
    spelling
fi
exit "$failed"
