#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing; installs nothing where the tools are there already, whoever put them there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
needed=()
wanted=()

has() { command -v "$1" >/dev/null 2>&1; }
any() { local file; for file; do [[ ! -e "$file" ]] || return 0; done; return 1; }
need() { needed+=("$@"); }
want() { wanted+=("$@"); }

java_is_new() {
  local major
  major=$(java -version 2>&1 | sed -nE 's/.*version "(1\.)?([0-9]+).*/\2/p' | head -n 1)
  [[ -n "$major" && "$major" -ge 17 ]]
}

cargo_is_new() {
  local version
  for cargo in "${CARGO:-cargo}" /usr/bin/cargo "${HOME:-/root}/.cargo/bin/cargo"; do
    version=$("$cargo" --version 2>/dev/null | cut -d' ' -f2) || continue
    [[ "$(printf '%s\n' 1.85 "$version" | sort -V | head -n 1)" == 1.85 ]] && return 0
  done
  return 1
}

"$here/python.sh" >/dev/null 2>&1 || need python3 python3-venv
java_is_new || need default-jre-headless
has openssl || need openssl
has mvn || [[ -d "$here/../../build/kafka/libs" ]] || need maven
any /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so || need softhsm2
# For the post-quantum token, which is built from source; without them SoftHSM2 takes its place.
cargo_is_new || want cargo-web cargo
has cc || want build-essential
has perl || want perl
has make || want make
# libclang-cpp.so, which other packages bring, is another library and has no headers.
any /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* || want libclang-dev
# For tests of the key ring in a database.
has initdb || any /usr/lib/postgresql/*/bin/initdb || want postgresql
if [[ ${#needed[@]} -eq 0 && ${#wanted[@]} -eq 0 ]]; then exit 0; fi

if ! has apt-get; then
  if [[ ${#needed[@]} -eq 0 ]]; then exit 0; fi
  echo "these are missing, and there is no apt-get to install them with: ${needed[*]}" >&2
  exit 1
fi

as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi; }
install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; }

if [[ $EUID -ne 0 ]] && ! has sudo; then
  if [[ ${#needed[@]} -eq 0 ]]; then exit 0; fi
  echo "these packages are missing: run as root: apt-get install ${needed[*]}" >&2
  exit 1
fi
as_root apt-get update || true  # what is known already may be enough
if [[ ${#needed[@]} -gt 0 ]]; then install "${needed[@]}"; fi
for package in "${wanted[@]}"; do
  if [[ "$package" == cargo ]] && cargo_is_new; then continue; fi
  # Tests start a PostgreSQL of their own: Debian shall not start one beside it.
  if [[ "$package" == postgresql ]] && install postgresql-common; then
    as_root sed -ri 's/^#?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  fi
  if install "$package"; then continue; fi
  case "$package" in
    postgresql) echo "$package cannot be had: tests of the key ring in a database are skipped" ;;
    *) echo "$package cannot be had: the post-quantum token is not built, SoftHSM2 takes its place" ;;
  esac
done
