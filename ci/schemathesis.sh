#!/usr/bin/env bash
# Calls every path of a worker's API, with requests that its OpenAPI document allows and requests that it does
# not, and checks the responses against the document: codes, content types, headers, bodies. The seed and the
# number of examples are fixed, and a run takes a minute. The worker only connects to this machine. EXAMPLES
# and SEED may be set.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/schemathesis
# A venv contains its own path and version, so one for another path or version is created again.
wanted=schemathesis==4.32.5
if [ "$(cat "$venv/made" 2>/dev/null)" != "$PWD $wanted" ]; then
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "$wanted"
  echo "$PWD $wanted" >"$venv/made"
fi
# Built in the same way as for the tests, so that nothing is compiled twice.
cargo test --workspace --locked --test command --no-run
cutrickle=${CARGO_TARGET_DIR:-target}/debug/cutrickle

log=$(mktemp -d)
worker=
finish() { [ -z "$worker" ] || { kill "$worker" 2>/dev/null && wait "$worker" || true; }; rm -rf "$log"; }
trap finish EXIT

# Runs the checks against a worker that was started with these further arguments.
against() {
  local header=$1; shift
  NO_COLOR=1 "$cutrickle" serve --processor passthrough --host 127.0.0.1 --port 0 --allow-host 127.0.0.1 "$@" \
    >"$log/worker" 2>&1 & worker=$!
  local url=
  for _ in $(seq 500); do
    url=$(grep -ohE 'http://127.0.0.1:[0-9]+' "$log/worker" | head -1) && [ -n "$url" ] && break
    kill -0 "$worker" || break
    sleep 0.02
  done
  if [ -z "$url" ]; then cat "$log/worker" >&2; return 1; fi
  # Codes and bodies must be as documented, and the only 5xx code allowed is a documented 503.
  if ! "$venv/bin/schemathesis" --config-file ci/schemathesis.toml --no-color run "$url/openapi.json" \
      --seed "${SEED:-1}" --max-examples "${EXAMPLES:-25}" ${header:+--header "$header"}; then
    cat "$log/worker" >&2; return 1
  fi
  kill -0 "$worker" || { echo "the worker has died" >&2; cat "$log/worker" >&2; return 1; }
  if grep -n panicked "$log/worker"; then return 1; fi
  kill "$worker"; wait "$worker" || true; worker=
}

against ""
against "Authorization: Bearer s3cret" --auth-token s3cret --capacity 2
