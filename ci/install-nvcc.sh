#!/usr/bin/env bash
# Makes a compiler for the GPU kernels where there is no CUDA toolkit, from NVIDIA's wheels (about 100 MB), in the
# folder that is the argument (target/cuda). Prints the lines that put it to use: eval "$(ci/install-nvcc.sh)".
# Does nothing where an nvcc is on the PATH or in CUDA_HOME.
set -euo pipefail
if [ -x "${CUDA_HOME:-}/bin/nvcc" ] || command -v nvcc >/dev/null; then exit 0; fi

cd "$(dirname "$0")/.."
home=${1:-target/cuda}
mkdir -p "$home"
home=$(cd "$home" && pwd)

if [ ! -x "$home/bin/nvcc" ] || [ ! -e "$home/lib64" ]; then
  wheels=$(mktemp -d)
  trap 'rm -rf "$wheels"' EXIT
  # nvcc needs nvvm (its back end), crt and runtime (headers it includes by itself), cccl (headers of the half types).
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$wheels" \
    nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 >&2
  cp -r "$wheels/nvidia/cu13/." "$home"
  # A wheel holds no links, so what a toolkit links is linked here: the linker looks for libX.so, nvcc for lib64.
  for library in "$home"/lib/lib*.so.*; do
    [ -e "$library" ] || continue
    link=${library%%.so.*}.so
    [ -e "$link" ] || ln -s "$(basename "$library")" "$link"
  done
  [ -e "$home/lib64" ] || ln -s lib "$home/lib64"
  chmod +x "$home"/bin/* "$home"/nvvm/bin/*
fi

"$home/bin/nvcc" --version >&2
printf 'export CUDA_HOME=%q\nexport PATH=%q/bin:"$PATH"\n' "$home" "$home"
