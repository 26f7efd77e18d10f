#!/usr/bin/env bash
# The README's test command; the examples are run by it.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --workspace --locked
