#!/usr/bin/env bash
# Measures a worker with the processor `invert` at three sizes and 30 frames a second, and prints a table in
# Markdown. Arguments are passed to `cargo build`: `ci/measure.sh --features ffmpeg`. SECONDS_EACH and SIZES
# may be set. All programs share this machine, so nothing else should run on it. The load is noted in each
# row.
set -euo pipefail
cd "$(dirname "$0")/.."
each=${SECONDS_EACH:-20}
sizes=${SIZES:-512x512 1280x720 1920x1080}
source ci/measuring.sh
build --package cutrickle-cli "$@"
cutrickle=$programs/cutrickle
field() { python3 -c 'import json,sys; d=json.load(sys.stdin)
for key in sys.argv[1].split("."): d=d[key] if d is not None else None
print("-" if d is None else f"{d:.1f}" if isinstance(d,float) else d)' "$1" <<<"$figures"; }
now() { date +%s%N; }

NO_COLOR=1 "$cutrickle" trickle-server --listen 127.0.0.1:0 --log info >"$log/trickle" 2>&1 & pids+=($!)
trickle=$(url_of trickle)/

echo "$(machine), ${each} s each, $*"
echo
echo "| size | CPU-ms a picture | added latency p50 / p99 ms | path p50 / p99 ms | lost | A/V offset ms | RSS idle / peak MB | start to IDLE ms | POST to first byte ms | sender late p99 ms | load |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
for size in $sizes; do
  begun=$(now)
  NO_COLOR=1 "$cutrickle" serve --processor invert --host 127.0.0.1 --port 0 >"$log/worker" 2>&1 & worker=$!; pids+=($worker)
  url=$(url_of worker)
  until curl -fsS "$url/health" 2>/dev/null | grep -q IDLE; do sleep 0.005; done
  idle=$(( ($(now) - begun) / 1000000 ))
  figures=$("$cutrickle" probe --worker "$url" --trickle "$trickle" --pid "$worker" --json \
    --width "${size%x*}" --height "${size#*x}" --fps 30 --seconds "$each")
  load=$(cut -d' ' -f1 /proc/loadavg)
  echo "| $size | $(field cpu_ms_per_picture) | $(field added_latency_ms.p50) / $(field added_latency_ms.p99) | $(field path_latency_ms.p50) / $(field path_latency_ms.p99) | $(field lost) | $(field av_offset_ms.worst) | $(field rss_idle_mb) / $(field rss_peak_mb) | $idle | $(field first_byte_ms) | $(field sender_late_ms.p99) | $load |"
  kill "$worker"; wait "$worker" 2>/dev/null || true
done
