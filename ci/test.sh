#!/usr/bin/env bash
# The README's test command, by which the examples are run; the API against its document; and what a feature hides: that
# programs which link CUDA start without it (Linux, no toolkit needed), and the GPU path, on the stand-in driver.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --workspace --locked
ci/schemathesis.sh
cargo test --package cutrickle-cuda-delayload --features cuda --locked
ci/gpu-path.sh
