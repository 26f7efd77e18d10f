#!/usr/bin/env bash
# Measures the effect of a processor that is slower than its input: the age of a frame when the processor
# receives it, the latency that the worker adds, and the number of frames that get through. The input has 30
# frames a second, and the processor takes 20, 50, 100 or 300 ms, or alternately 20 and 200 ms. Prints a table
# in Markdown. SECONDS_EACH, SIZE and TAKES may be set. All programs share this machine, so nothing else
# should run on it. The load is noted in each row.
set -euo pipefail
cd "$(dirname "$0")/.."
each=${SECONDS_EACH:-20}
size=${SIZE:-512x512}
takes=${TAKES:-20 50 100 300 20,200}
source ci/measuring.sh
build --package cutrickle-cli --package cutrickle-benches --bin cutrickle --bin slow-worker "$@"
NO_COLOR=1 "$programs/cutrickle" trickle-server --listen 127.0.0.1:0 --log info >"$log/trickle" 2>&1 & pids+=($!)
trickle=$(url_of trickle)/

echo "$(machine), $size, ${each} s each"
echo
echo "| the processor takes ms | age p50 / p99 ms, at most | added latency p50 / p99 ms | frames a second | of 1/T | A/V offset ms, worst | load |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
for take in $takes; do
  "$programs/slow-worker" --takes "$take" >"$log/worker" 2>&1 & worker=$!; pids+=($worker)
  url=$(url_of worker)
  "$programs/cutrickle" probe --worker "$url" --trickle "$trickle" --json \
    --width "${size%x*}" --height "${size#*x}" --fps 30 --seconds "$each" >"$log/figures" & probe=$!
  # The histogram of ages ends with the stream.
  sleep "$((each - 1))"
  curl -fsS "$url/metrics" >"$log/metrics"
  wait "$probe"
  python3 - "$log/figures" "$log/metrics" "$take" "$(cut -d' ' -f1 /proc/loadavg)" <<'PYTHON'
import json, re, sys
figures, take = json.load(open(sys.argv[1])), [float(n) for n in sys.argv[3].split(",")]
metrics = open(sys.argv[2]).read()
buckets = [(float(le), float(n)) for le, n in re.findall(
    r'cutrickle_stage_seconds_bucket\{stage="wait",stream="[^"]*",le="([^"]+)"\} (\S+)', metrics)]
count = buckets[-1][1]
# The upper bound of the bucket that contains the percentile.
age = lambda part: next(le for le, n in buckets if n >= part * count) * 1e3
latency, offset = figures["added_latency_ms"], figures["av_offset_ms"]
fps = figures["received"] / figures["seconds"]
wanted = min(30.0, 1000 * len(take) / sum(take))
row = [sys.argv[3], f"{age(.5):.0f} / {age(.99):.0f}", f"{latency['p50']:.1f} / {latency['p99']:.1f}",
       f"{fps:.2f}", f"{100 * fps / wanted:.0f} %",
       f"{offset['worst']:.1f}" if offset else "-", sys.argv[4]]
print("| " + " | ".join(row) + " |")
PYTHON
  kill "$worker"; wait "$worker" 2>/dev/null || true
done
