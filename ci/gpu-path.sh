#!/usr/bin/env bash
# Checks the GPU path on a machine without a GPU. Lints and builds with the feature `cuda` (with nvcc from
# NVIDIA's wheels if there is no toolkit), and runs the tests that need a device on the stand-in driver: once
# as two GPUs without an encoder, and once as two GPUs with one.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
eval "$(ci/install-nvcc.sh "$target/cuda")"
# The oldest architecture that candle's kernels support. Newer GPUs compile its PTX.
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80} CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-2}
# No kernel runs here, so none is optimised. Candle's kernels then take two minutes to compile instead of ten.
export NVCC_APPEND_FLAGS="${NVCC_APPEND_FLAGS:-} --Ofast-compile=max"
features=cutrickle-cuda/cuda,cutrickle-codec/cuda,cutrickle-cli/cuda
# Lints what ci/lint.sh has no compiler for.
cargo clippy --features "$features,cutrickle-models/cuda" --locked --all-targets --package cutrickle-cuda --package cutrickle-frame \
  --package cutrickle-codec --package cutrickle-pipeline --package cutrickle-models --package cutrickle-cli -- -D warnings
tests=(--package cutrickle-cuda --test kernels_on_device --test decoder_on_device --package cutrickle-codec --test gpu --test gpu_waits --package cutrickle-cli --test gpu)
# Uses the same features as ci/test.sh just before, so that nothing is compiled again.
cargo test --workspace --features cutrickle-codec/ffmpeg,cutrickle-codec/fdk-aac,cutrickle-stand-in/libavcodec --locked \
  --test h265 --no-run
export STAND_IN_LIBRARY=$target/debug/deps/libcutrickle_stand_in.so
cargo test --features "$features" --locked "${tests[@]}" --no-run
# The rest needs candle's own kernels or takes hours, so it is only built.
cargo test --features "$features,cutrickle-models/cuda" --locked --package cutrickle-cuda --bench device \
  --package cutrickle-codec --bench gpu --package cutrickle-models --test on_device --package cutrickle-cli --no-run
for encoder in 0 1; do
  STAND_IN_DEVICES=2 STAND_IN_NVENC=$encoder ci/stand-in.sh \
    cargo test --features "$features" --locked "${tests[@]}"
done
