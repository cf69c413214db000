#!/usr/bin/env bash
# Prints the Python to use: $PYTHON, else the first of PATH that is 3.11 to 3.13 and can make virtual environments.
# `python.sh --version` prints its path and version.
set -euo pipefail

usable() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.13 /usr/bin/python3}; do
  # sys.executable, because a pyenv shim is not an interpreter that lasts
  if usable "$candidate"; then
    found=$("$candidate" -c 'import sys; print(sys.executable)')
    if [[ "${1:-}" == --version ]]; then printf '%s ' "$found" && "$found" --version; else printf '%s\n' "$found"; fi
    exit 0
  fi
done
echo "no Python 3.11, 3.12 or 3.13 that can make virtual environments was found: install one (Debian: apt-get install python3 python3-venv) or set PYTHON" >&2
exit 1
