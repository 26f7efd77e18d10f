#!/usr/bin/env bash
# Checks that the code in README.md and docs/ compiles in a crate outside of the workspace (testing/docs),
# whose only dependencies are the facade and tokio. As in ci/templates.sh, it uses the workspace's versions
# and target folder.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -r testing/docs/Cargo.toml testing/docs/src Cargo.lock "$scratch"
cd "$scratch"
sed -i "s#\.\./\.\./crates#$root/crates#" Cargo.toml
sed -i "s#\.\./\.\./\.\./#$root/#" src/lib.rs
# The workspace requests more features of tokio and of getrandom, which candle depends on, and its crates have
# debug information about lines. Without the same settings, nearly everything would be compiled again.
sed -i 's/"rt-multi-thread"\]/"rt-multi-thread", "fs", "io-std", "process", "signal", "test-util"]/' Cargo.toml
sed -i '/^tokio = /a getrandom = { version = "0.4", features = ["std", "sys_rng"] }' Cargo.toml
for crate in cutrickle codec cuda cuda-delayload error file frame live media models mpegts pipeline server trickle ts worker; do
  printf '\n[profile.dev.package.%s]\ndebug = "line-tables-only"\n' "cutrickle${crate:+-$crate}"
done | sed 's/cutrickle-cutrickle/cutrickle/' >> Cargo.toml
cargo test --doc --offline
