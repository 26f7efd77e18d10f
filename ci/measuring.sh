# Read by the measuring scripts: the folder for the programs' logs, the programs that are ended with the script, and where
# each listens. PROGRAMS names a folder with builds of the profile `dist`, where they need not be built.
log=$(mktemp -d)
pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$log"; }
trap finish EXIT

# What is measured: built with these arguments of `cargo build`.
programs=${PROGRAMS:-${CARGO_TARGET_DIR:-target}/dist}
build() { [ -n "${PROGRAMS:-}" ] || cargo build --profile dist --locked "$@" >&2; }

# The first URL that a program started in the background prints.
url_of() {
  for _ in $(seq 500); do
    url=$(grep -ohE 'http://[0-9.]+:[0-9]+' "$log/$1" | head -1) && [ -n "$url" ] && { echo "$url"; return; }
    sleep 0.02
  done
  echo "$1 does not say where it listens:" >&2; cat "$log/$1" >&2; return 1
}

# The machine, for a table's first line.
machine() { echo "$(date -u +%F), $(nproc) cores ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1))"; }
