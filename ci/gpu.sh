#!/usr/bin/env bash
# Everything that needs a GPU, in two steps, since the machine with the GPU need not have Rust:
#   ci/gpu.sh pack [FOLDER]   where Rust is: builds, strips, and puts into FOLDER (target/gpu) what the other step runs
#   ci/gpu.sh clip FILE PICTURES  a 1080p byte stream with access unit delimiters, of the clip that ships with the project
#   ci/gpu.sh run [FOLDER]    where the GPU is: runs it, and writes what came of it to $OUT (FOLDER/results)
# Either runs from the repository's root. Nothing is skipped: what fails is listed at the end, and is the exit code.
set -euo pipefail
cd "$(dirname "$0")/.."
step=${1:?pack, clip or run}
folder=${2:-target/gpu}

clip() {
  ffmpeg -hide_banner -loglevel error -y -stream_loop -1 -i assets/clip/big-buck-bunny.ts -frames:v "$2" \
    -vf scale=1920:1080 -an -c:v libx264 -preset veryfast -bf 0 -g 30 -x264-params aud=1 -f h264 "$1"
}
if [ "$step" = clip ]; then clip "$2" "$3"; exit; fi

if [ "$step" = pack ]; then
  target=${CARGO_TARGET_DIR:-target}
  eval "$(ci/install-nvcc.sh "$target/cuda")"
  export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80} CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-2}
  mkdir -p "$folder"
  profile=${PROFILE:-release}
  cargo build --profile "$profile" --locked --package cutrickle-cli --features cuda
  cp "$target/${profile/dev/debug}/cutrickle" "$folder/cutrickle"
  # The name of a test's program is in what cargo says of it.
  program() {
    cargo test --profile "$profile" --locked --package "$1" --features cuda "--$2" "$3" --no-run --message-format json |
      python3 -c 'import json,sys
for line in sys.stdin:
    said = json.loads(line)
    if said.get("executable") and said["target"]["name"] == sys.argv[1]: print(said["executable"])' "$3"
  }
  cp "$(program cutrickle-cuda test kernels_on_device)" "$folder/kernels_on_device"
  cp "$(program cutrickle-codec test gpu)" "$folder/codecs"
  cp "$(program cutrickle-cuda bench device)" "$folder/bench_device"
  cp "$(program cutrickle-codec bench gpu)" "$folder/bench_gpu"
  strip "$folder"/{cutrickle,kernels_on_device,codecs,bench_device,bench_gpu}
  clip "$folder/clip.h264" 600
  du -sh "$folder"
  exit
fi

out=${OUT:-$folder/results}
mkdir -p "$out"
# The libraries that candle needs (cuBLAS, cuRAND, NVRTC) lie in Python's packages where there is no toolkit.
packages=$(python3 -c 'import glob,site; print(":".join(p for s in site.getsitepackages() for p in glob.glob(s + "/nvidia/*/lib")))')
export LD_LIBRARY_PATH=$packages${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# The clip is looked for from the repository's root.
unset CARGO_MANIFEST_DIR
failed=()
check() {
  local name=$1; shift
  echo "== $name: $*"
  if "$@" 2>&1 | tee "$out/$name.txt"; then :; else failed+=("$name"); fi
}
check machine nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
check doctor "$folder/cutrickle" doctor --json
check kernels "$folder/kernels_on_device"
check codecs "$folder/codecs" --test-threads 1 --nocapture
check memcheck compute-sanitizer --tool memcheck --error-exitcode 1 "$folder/kernels_on_device" --test-threads 1
check racecheck compute-sanitizer --tool racecheck --error-exitcode 1 "$folder/kernels_on_device" --test-threads 1
check bench_device "$folder/bench_device" "$folder/clip.h264"
check bench_gpu "$folder/bench_gpu"
check demo "$folder/cutrickle" demo --device cuda:0 --processor passthrough --frames 300
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
