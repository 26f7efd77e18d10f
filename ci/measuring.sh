# Sourced by the scripts that measure. Creates the folder for the logs of programs, ends the programs with the
# script, and finds the address that each listens on. PROGRAMS may name a folder with builds of the profile
# `dist`, which are then not built.
log=$(mktemp -d)
pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$log"; }
trap finish EXIT

# Builds what is measured, with these arguments for `cargo build`.
programs=${PROGRAMS:-${CARGO_TARGET_DIR:-target}/dist}
build() { [ -n "${PROGRAMS:-}" ] || cargo build --profile dist --locked "$@" >&2; }

# Returns the first URL that a program in the background prints.
url_of() {
  for _ in $(seq 500); do
    url=$(grep -ohE 'http://[0-9.]+:[0-9]+' "$log/$1" | head -1) && [ -n "$url" ] && { echo "$url"; return; }
    sleep 0.02
  done
  echo "$1 does not say where it listens:" >&2; cat "$log/$1" >&2; return 1
}

# Describes the machine, for the first line of a table.
machine() { echo "$(date -u +%F), $(nproc) cores ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1))"; }
