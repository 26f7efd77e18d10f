#!/usr/bin/env bash
# Checks the format, runs clippy, and checks those of the project's rules that a script can check.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
# Includes what features hide, except for the GPU path, which needs a CUDA compiler.
features=cutrickle-codec/ffmpeg,cutrickle-codec/fdk-aac,cutrickle-stand-in/libavcodec
cargo clippy --workspace --all-targets --features "$features" --locked -- -D warnings
# With the same features, so that dependencies are not checked again.
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --features "$features" --locked
long=$(git ls-files '*.rs' | xargs wc -l | awk '$2 != "total" && $1 > 600 { print "  " $1 " " $2 }')
if [ -n "$long" ]; then printf 'files longer than 600 lines:\n%s\n' "$long"; exit 1; fi
vague=$(git ls-files '*.rs' | grep -E '(^|/)(utils?|helpers?|common|manager)(/|\.rs$)' || true)
if [ -n "$vague" ]; then printf 'modules without a role in their name:\n%s\n' "$vague"; exit 1; fi
headless=$(git ls-files 'crates/*.rs' 'testing/*.rs' 'examples/*.rs' 'benches/*.rs' | while read -r f; do head -c 3 "$f" | grep -q '//!' || echo "  $f"; done)
if [ -n "$headless" ]; then printf 'files that do not say what they are:\n%s\n' "$headless"; exit 1; fi
