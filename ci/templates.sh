#!/usr/bin/env bash
# Checks that every template of `cutrickle new` builds and passes its test. They are built in the workspace's
# own target folder with its versions. Other differences between a new crate and the workspace are removed
# below, so that nothing but the new crate itself is compiled.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TARGET_DIR=$target
command=$target/debug/cutrickle
[ -x "$command" ] || cargo build --package cutrickle-cli --locked
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
for template in passthrough candle-model analytics audio; do
  "$command" new "template-$template" --template "$template" --cutrickle-path "$root"
  (
    cd "template-$template"
    cp "$root/Cargo.lock" .
    # The command and the tests request more features of tokio and of getrandom, which candle depends on, and
    # the crates of a workspace have debug information about lines.
    sed -i 's/"rt"\]/"rt", "rt-multi-thread", "fs", "io-std", "process", "signal", "test-util"]/' Cargo.toml
    sed -i '/^tokio = /a getrandom = { version = "0.4", features = ["std", "sys_rng"] }' Cargo.toml
    for crate in cutrickle codec cuda cuda-delayload error file frame live media models mpegts pipeline server trickle ts worker; do
      printf '\n[profile.dev.package.%s]\ndebug = "line-tables-only"\n' "cutrickle${crate:+-$crate}"
    done | sed 's/cutrickle-cutrickle/cutrickle/' >> Cargo.toml
    cargo test --offline
  )
done
