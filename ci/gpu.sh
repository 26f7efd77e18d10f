#!/usr/bin/env bash
# Runs everything that needs a GPU, in steps, because the machine with the GPU may have neither Rust nor ffmpeg:
#   ci/gpu.sh pack [FOLDER]       needs Rust: builds, strips and packs into FOLDER (target/gpu) what the next step runs
#   ci/gpu.sh clip FILE PICTURES  makes a 1080p byte stream with access unit delimiters from the project's own clip
#   ci/gpu.sh run [FOLDER]        needs the GPU: runs it and writes the results to $OUT (FOLDER/results), one file for
#                                 each kind
#   ci/gpu.sh judge FOLDER        needs ffmpeg: checks the recordings among the results
# Each step runs from the root of the repository. Nothing is skipped. Failures are listed at the end and
# determine the exit status.
set -euo pipefail
cd "$(dirname "$0")/.."
step=${1:?pack, clip, run or judge}
folder=${2:-target/gpu}

clip() {
  ffmpeg -hide_banner -loglevel error -y -stream_loop -1 -i crates/cli/assets/clip/big-buck-bunny.ts -frames:v "$2" \
    -vf scale=1920:1080 -an -c:v libx264 -preset veryfast -bf 0 -g 30 -x264-params aud=1 -f h264 "$1"
}
if [ "$step" = clip ]; then clip "$2" "$3"; exit; fi

# Uses independent programs to check the number of frames, that there are no errors, and how similar the
# frames are to the clip's.
judge() {
  local recording said likeness clip=crates/cli/assets/clip/big-buck-bunny.ts
  pictures() { ffprobe -v error -count_frames -select_streams v -show_entries stream=nb_read_frames -of csv=p=0 "$1" 2>&1 | sort -u | xargs; }
  for recording in "$1"/*.ts; do
    said=$(pictures "$recording")
    echo "$(basename "$recording"): $said pictures"
    [ "$said" = "$(pictures "$clip")" ] || { echo "the clip has others, or ffprobe complains"; exit 1; }
    # The other recordings are meant to look different.
    [ "$(basename "$recording")" = passthrough.ts ] || continue
    likeness=$(ffmpeg -hide_banner -copyts -i "$recording" -i "$clip" -lavfi \
      "[0:v]settb=1/90000[a];[1:v]settb=1/90000,format=yuv420p[b];[a][b]psnr=shortest=1" -f null - 2>&1 | grep -o "PSNR y:[0-9.]*")
    echo "$likeness dB"
    awk -v dB="${likeness#PSNR y:}" 'BEGIN { exit dB > 36 ? 0 : 1 }' || { echo "unlike the clip"; exit 1; }
  done
}
if [ "$step" = judge ]; then judge "$2"; exit; fi

if [ "$step" = pack ]; then
  target=${CARGO_TARGET_DIR:-target}
  eval "$(ci/install-nvcc.sh "$target/cuda")"
  export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80} CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-2}
  profile=${PROFILE:-dist}
  stage=$(mktemp -d)
  trap 'rm -r "$stage"' EXIT
  # Packages and features are always the same, so that candle's kernels are compiled only once.
  build=(--profile "$profile" --locked --package cutrickle-cuda --package cutrickle-codec --package cutrickle-models
    --package cutrickle-cli --features cutrickle-cuda/cuda,cutrickle-codec/cuda,cutrickle-models/cuda,cutrickle-cli/cuda
    --no-run --message-format json)
  cargo test "${build[@]}" --test kernels_on_device --test decoder_on_device --test gpu --test on_device \
    --bench device --bench gpu >"$stage/built"
  # Cargo's messages contain the paths of the programs.
  program() {
    python3 - "$stage/built" "$@" <<'PYTHON'
import json, sys
file, package, kind, name = sys.argv[1:]
for said in map(json.loads, open(file)):
    target = said.get("target", {})
    if said.get("executable") and package in said["package_id"] and (target["name"], target["kind"]) == (name, [kind]):
        print(said["executable"])
PYTHON
  }
  # Cargo builds the command along with its tests.
  cp "$target/${profile/dev/debug}/cutrickle" "$stage/cutrickle"
  cp "$(program crates/cuda test kernels_on_device)" "$stage/kernels_on_device"
  cp "$(program crates/cuda test decoder_on_device)" "$stage/decoder"
  cp "$(program crates/codec test gpu)" "$stage/codecs"
  cp "$(program crates/models test on_device)" "$stage/models"
  cp "$(program crates/cuda bench device)" "$stage/bench_device"
  cp "$(program crates/codec bench gpu)" "$stage/bench_gpu"
  rm "$stage/built"
  strip "$stage"/*
  clip "$stage/clip.h264" 600
  ci/clips.sh "$stage/clips"
  mkdir -p "$folder"
  # Each program contains candle's kernels, which take 40 MB and compress to 8 MB.
  tar -C "$stage" -cJf "$folder/pack.tar.xz" .
  size=$(stat -c %s "$folder/pack.tar.xz")
  echo "$folder/pack.tar.xz: $((size >> 20)) MiB"
  [ "$size" -lt $((60 << 20)) ] || { echo "more than 60 MiB"; exit 1; }
  exit
fi

out=${OUT:-$folder/results}
mkdir -p "$out"
programs=$(mktemp -d)
trap 'rm -r "$programs"' EXIT
# Unpacked with Python, which is installed for PyTorch, while xz may be missing.
python3 -m tarfile -e "$folder/pack.tar.xz" "$programs"
# Without a toolkit, the libraries that candle needs (cuBLAS, cuRAND, NVRTC) come from Python packages.
packages=$(python3 -c 'import glob,site; print(":".join(p for s in site.getsitepackages() for p in glob.glob(s + "/nvidia/*/lib")))')
export LD_LIBRARY_PATH=$packages${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# The programs look for the clip relative to the root of the repository.
unset CARGO_MANIFEST_DIR
export CUTRICKLE_CLIPS=$programs/clips
rm -f "$out"/{machine,tests,sanitizer,benches,worker}.txt "$out"/*.ts
failed=()
check() { # file, name, command
  local file=$out/$1.txt name=$2; shift 2
  echo "== $name: ${*//$programs\//}" | tee -a "$file"
  # A check that hangs counts as a failure and must not prevent the others from running.
  if timeout "${CHECK_SECONDS:-180}" "$@" 2>&1 | tee -a "$file"; then :; else failed+=("$name"); fi
}
check machine machine nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
check machine doctor "$programs/cutrickle" doctor --json
check tests kernels "$programs/kernels_on_device"
check tests decoder "$programs/decoder"
check tests codecs "$programs/codecs" --test-threads 1 --nocapture
check tests models "$programs/models" --nocapture
check benches bench_device "$programs/bench_device" "$programs/clip.h264"
check benches bench_gpu "$programs/bench_gpu"
check worker worker python3 ci/gpu_worker.py "$programs/cutrickle" "$out"
sanitize=(compute-sanitizer --error-exitcode 1)
check sanitizer memcheck "${sanitize[@]}" --tool memcheck "$programs/kernels_on_device" --test-threads 1
# Races are only searched for within kernels. The order of work from several threads is not part of that, and
# its test would take minutes.
check sanitizer racecheck "${sanitize[@]}" --tool racecheck "$programs/kernels_on_device" --test-threads 1 \
  --skip work_of_several_threads
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
