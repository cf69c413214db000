#!/usr/bin/env bash
# Sets everything up under the repository: build/ and .venv/. One line per step; a step whose inputs have not changed is skipped.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
stamps=$root/build/stamps
logs=$root/build/logs
python=$root/.venv/bin/python
mkdir -p "$stamps" "$logs"
exec 9>"$stamps/lock"
flock 9

# The hash of files (and of a word, such as a version) that a step depends on.
key() { { printf '%s\n' "$1"; shift; cat "$@"; } | sha256sum | cut -c1-64; }

# todo NAME KEY RESULT: true unless RESULT exists and NAME was last done with the same KEY.
todo() { ! [[ -e "$3" && "$(cat "$stamps/$1" 2>/dev/null)" == "$2" ]]; }

# step NAME KEY RESULT COMMAND...: runs the command where there is something to do, and says so in one line.
step() {
  local name=$1 key=$2 result=$3 began=$SECONDS log=$logs/setup-$1.log
  if ! todo "$name" "$key" "$result"; then return; fi
  shift 3
  if ! "$@" >"$log" 2>&1; then
    printf '%-18s failed\n' "$name"
    tail -n 15 "$log" | sed 's/^/  /'
    printf '  (all of it: %s)\n' "$log"
    exit 1
  fi
  printf '%s\n' "$key" >"$stamps/$name"
  printf '%-18s done (%d s)\n' "$name" $((SECONDS - began))
}

python_packages() {
  local interpreter
  interpreter=$("$here/python.sh") || return
  # No errexit in here, as this runs under `if`: each command says what follows it.
  if ! "$python" -c "import sys; sys.exit(sys.version.split()[0] != '$("$interpreter" -c 'import platform; print(platform.python_version())')')" 2>/dev/null; then
    rm -rf "$root/.venv"
    "$interpreter" -m venv "$root/.venv" || return
  fi
  "$python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$root/requirements-dev.lock" &&
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e "$root"
}

# Exit status 3 says that a tool for the post-quantum token is missing, which is no failure: SoftHSM2 takes its place.
token() { "$root/deploy/token/build.sh" || [[ $? -eq 3 ]]; }

# Only a test needs it.
prometheus() { "$root/deploy/monitoring/prometheus.sh" || [[ $? -eq 3 ]]; }

step debian-packages "$(key "" "$here/debian.sh")" "$here" "$here/debian.sh"

step prometheus "$(key "" "$root/deploy/monitoring/prometheus.sh")" "$here" prometheus

# The token compiles OpenSSL, which takes minutes of CPU, while the rest waits for the network.
mapfile -t token_files < <(find "$root/deploy/token" -type f | LC_ALL=C sort)
token_key=$(key "$(command -v cargo || true)" "${token_files[@]}")
if todo pkcs11-token "$token_key" "$here"; then echo "pkcs11-token       is being compiled, once: some minutes"; fi
step pkcs11-token "$token_key" "$here" token &

step python-packages "$(key "$("$here/python.sh" --version)" "$here/setup.sh" "$root/requirements-dev.lock" "$root/pyproject.toml")" \
  "$python" python_packages
step kafka "$(key "" "$root/deploy/broker/pom.xml" "$root/deploy/broker/jars.sha256")" "$root/build/kafka/libs" "$root/deploy/broker/jars.sh"
step kafka-classes "$(key "$(java -version 2>&1)" "$root/deploy/broker/jars.sha256" "$root/streams/class_archive.py")" \
  "$root/build/kafka/classes.jsa" "$python" -m streams.class_archive
wait $!
