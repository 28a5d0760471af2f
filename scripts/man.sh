#!/bin/bash
# Writes the manual pages of all programs and their shell completions, made from the definitions of the command lines.
#
#   scripts/man.sh [DIR]         into DIR/man8, DIR/man5 and DIR/completions; default: target/doc-programs
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:-target/doc-programs}
mkdir -p "$dir/man8" "$dir/man5" "$dir/completions"
annulus() { cargo run --quiet --bin annulus -- "$@"; }
annulus man "$dir"
for program in annulus annulusd quorum-tool; do
    for shell in bash zsh fish; do
        annulus completions "$shell" --program "$program" >"$dir/completions/$program.$shell"
    done
done
