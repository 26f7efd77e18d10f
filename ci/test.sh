#!/usr/bin/env bash
# Runs the README's test command, which also runs the examples, compiles the code of the documentation, checks
# the API against its document, and tests what features hide: the codecs `ffmpeg` and `fdk-aac`, the stand-in
# driver's H.265, programs that link CUDA and start without it (Linux, no toolkit needed), and the GPU path on
# the stand-in driver. A test that hangs fails after a while, instead of when the machine is taken away.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --workspace --locked --no-run
timeout 1200 cargo test --workspace --locked
timeout 900 ci/templates.sh
timeout 900 ci/docs.sh
timeout 900 ci/schemathesis.sh
# Built for the whole workspace, so that candle is not compiled again for other features.
timeout 900 cargo test --workspace --features cutrickle-codec/ffmpeg,cutrickle-codec/fdk-aac,cutrickle-stand-in/libavcodec \
  --locked --test video_ffmpeg --test audio_fdk_aac --test h265
timeout 1200 cargo test --package cutrickle-cuda-delayload --features cuda --locked
ci/gpu-path.sh
