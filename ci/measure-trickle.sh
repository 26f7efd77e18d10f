#!/usr/bin/env bash
# Measures the trickle server with the load client of benches/ and prints a table in Markdown. The client and
# the server share this machine, so nothing else should run on it. The client's own delay is listed next to
# the latencies. SECONDS_EACH may be set.
set -euo pipefail
cd "$(dirname "$0")/.."
each=${SECONDS_EACH:-10}
cargo build --profile dist --locked --package cutrickle-benches --bins >&2
bin=${CARGO_TARGET_DIR:-target}/dist
server=
finish() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; }
trap finish EXIT

# Runs the client against a new server and returns its figures as JSON.
against() {
  coproc SERVER { exec "$bin/trickle-serve"; }
  server=$SERVER_PID
  local url figures
  read -r url <&"${SERVER[0]}"
  figures=$("$bin/trickle-load" "$url" --pid "$server" --json "$@")
  kill "$server"; wait "$server" 2>/dev/null || true
  server=
  echo "$figures"
}
field() { python3 -c 'import json,sys; d=json.load(sys.stdin)[sys.argv[1]]; print(f"{d:.2f}" if isinstance(d,float) else d)' "$1" <<<"$figures"; }

echo "$(date -u +%F), $(nproc) cores ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)), ${each} s each"
echo
echo "| load | CPU s per GB delivered | latency p50 / p99 ms | peak RSS MB | delivered MB/s | lost segments | client late p99 ms |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
for load in "5M 100" "5M 500" "max 10" "max 100"; do
  figures=$(against --rate "${load% *}" --subscribers "${load#* }" --seconds "$each")
  echo "| ${load% *} x ${load#* } | $(field server_cpu_s_per_gb) | $(field latency_p50_ms) / $(field latency_p99_ms) | $(field server_peak_rss_mb) | $(field delivered_mb_s) | $(field lost_segments) | $(field client_late_p99_ms) |"
done
figures=$(against --idle-channels 1000 --waiting-readers 2000)
echo
echo "1,000 idle channels and 2,000 waiting readers: $(field server_rss_mb) MB."
