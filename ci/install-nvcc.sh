#!/usr/bin/env bash
# Installs a compiler for the GPU kernels on a machine without the CUDA toolkit, from NVIDIA's wheels (about
# 100 MB), in the folder that is the argument (target/cuda). Prints the lines that activate it, for use as
# eval "$(ci/install-nvcc.sh)". Does nothing if an nvcc is on the PATH or in CUDA_HOME.
set -euo pipefail
if [ -x "${CUDA_HOME:-}/bin/nvcc" ] || command -v nvcc >/dev/null; then exit 0; fi

cd "$(dirname "$0")/.."
home=${1:-target/cuda}
mkdir -p "$home"
home=$(cd "$home" && pwd)

if [ ! -x "$home/bin/nvcc" ] || [ ! -e "$home/lib64" ]; then
  wheels=$(mktemp -d)
  trap 'rm -rf "$wheels"' EXIT
  # nvcc needs nvvm (its back end), crt and runtime (headers that it includes by itself), and cccl (headers of
  # the half types).
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$wheels" \
    nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 >&2
  cp -r "$wheels/nvidia/cu13/." "$home"
  # Wheels contain no symbolic links, so those of a toolkit are created here: the linker looks for libX.so,
  # nvcc for lib64.
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
