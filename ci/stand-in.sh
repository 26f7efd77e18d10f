#!/usr/bin/env bash
# Runs a command with the stand-in driver in place of NVIDIA's libraries:
#   ci/stand-in.sh cargo test --workspace --features cuda
# testing/stand-in/src/lib.rs lists the variables that it supports. STAND_IN_LIBRARY may name a library that
# is already built. Otherwise one is built, in CARGO_TARGET_DIR if that is set.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
library=${STAND_IN_LIBRARY:-}
if [ -z "$library" ]; then
    cargo build --quiet --manifest-path "$root/Cargo.toml" --package cutrickle-stand-in --features libavcodec >&2
    library=${CARGO_TARGET_DIR:-$root/target}/debug/libcutrickle_stand_in.so
fi
library=$(realpath "$library")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The names that programs open: those in crates/cuda-delayload/build/archives.rs, and those of the codecs.
for name in libcuda.so.1 libnvcuvid.so.1 libnvidia-encode.so.1 libcurand.so.10 \
    libcublas.so.{11,12,13} libcublasLt.so.{11,12,13} libnvrtc.so.{11.2,12,13}; do
    ln -s "$library" "$folder/$name"
done
LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$@"
