#!/usr/bin/env bash
# The README's test command, by which the examples are run; the API against its document; and what a feature hides: the
# codecs `ffmpeg` and `fdk-aac`, the stand-in driver's H.265, that programs which link CUDA start without it (Linux, no
# toolkit needed), and the GPU path, on the stand-in driver.
# A test that hangs is a failure after a while, not when the machine is taken away.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --workspace --locked --no-run
timeout 1200 cargo test --workspace --locked
timeout 900 ci/templates.sh
timeout 900 ci/schemathesis.sh
# For the whole workspace, so that candle is not compiled once more for other features.
timeout 900 cargo test --workspace --features cutrickle-codec/ffmpeg,cutrickle-codec/fdk-aac,cutrickle-stand-in/libavcodec \
  --locked --test video_ffmpeg --test audio_fdk_aac --test h265
timeout 1200 cargo test --package cutrickle-cuda-delayload --features cuda --locked
ci/gpu-path.sh
