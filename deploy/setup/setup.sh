#!/usr/bin/env bash
# Sets everything up under the repository: build/ and .venv/. One line per step; a step whose inputs have not changed is skipped.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
stamps=$root/build/stamps
log=$root/build/setup.log
python=$root/.venv/bin/python
mkdir -p "$stamps"
exec 9>"$stamps/lock"
flock 9
: >"$log"

# The hash of files (and of a word, such as a version) that a step depends on.
key() { { printf '%s\n' "$1"; shift; cat "$@"; } | sha256sum | cut -c1-64; }

# step NAME KEY RESULT COMMAND...: runs the command unless RESULT exists and NAME was last done with the same KEY.
step() {
  local name=$1 key=$2 result=$3 began=$SECONDS
  shift 3
  if [[ -e "$result" && "$(cat "$stamps/${name// /-}" 2>/dev/null)" == "$key" ]]; then return; fi
  printf '%-18s ' "$name"
  if ! "$@" >>"$log" 2>&1; then
    printf 'failed\n'
    tail -n 15 "$log" | sed 's/^/  /'
    printf '  (all of it: %s)\n' "$log"
    exit 1
  fi
  printf '%s\n' "$key" >"$stamps/${name// /-}"
  printf 'done (%d s)\n' $((SECONDS - began))
}

python_packages() {
  local interpreter
  interpreter=$("$here/python.sh")
  if ! "$python" -c "import sys; sys.exit(sys.version.split()[0] != '$("$interpreter" -c 'import platform; print(platform.python_version())')')" 2>/dev/null; then
    rm -rf "$root/.venv"
    "$interpreter" -m venv "$root/.venv"
  fi
  "$python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$root/requirements-dev.lock"
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e "$root"
}

# Exit status 3 says that a tool for the post-quantum token is missing, which is no failure: SoftHSM2 takes its place.
token() { "$root/deploy/token/build.sh" || [[ $? -eq 3 ]]; }

step "Debian packages" "$(key "" "$here/debian.sh")" "$here" "$here/debian.sh"
step "Python packages" "$(key "$("$here/python.sh" --version)" "$here/setup.sh" "$root/requirements-dev.lock" "$root/pyproject.toml")" "$python" \
  python_packages
step "Kafka" "$(key "" "$root/deploy/broker/pom.xml" "$root/deploy/broker/jars.sha256")" "$root/build/kafka/libs" "$root/deploy/broker/jars.sh"
step "Kafka classes" "$(key "$(java -version 2>&1)" "$root/deploy/broker/jars.sha256" "$root/streams/class_archive.py")" "$root/build/kafka/classes.jsa" \
  "$python" -m streams.class_archive
token_files=$(find "$root/deploy/token" -type f | LC_ALL=C sort)
# shellcheck disable=SC2086
step "PKCS#11 token" "$(key "$(command -v cargo || true)" $token_files)" "$here" token
