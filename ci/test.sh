#!/usr/bin/env bash
# The README's test command, by which the examples are run; and what a feature hides from it: that programs which link
# CUDA start without it (Linux, no toolkit needed).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --workspace --locked
cargo test --package cutrickle-cuda-delayload --features cuda --locked
