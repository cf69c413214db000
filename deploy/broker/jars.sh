#!/usr/bin/env bash
# Copies Kafka's jars to FOLDER (default build/kafka/libs) by Maven and checks every one against jars.sha256.
# Quick when it is done; `jars.sh --pin` rewrites jars.sha256 after a change of pom.xml.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pin=""
if [[ "${1:-}" == --pin ]]; then pin=yes; shift; fi
libs=${1:-$(cd "$here/../.." && pwd)/build/kafka/libs}

complete() { (cd "$1" 2>/dev/null && sha256sum --check --strict --quiet "$here/jars.sha256" >/dev/null 2>&1); }

if [[ -z "$pin" ]] && complete "$libs"; then exit 0; fi

mkdir -p "$(dirname "$libs")"
fresh=$(mktemp -d "$libs.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
mvn --batch-mode --quiet --strict-checksums --file "$here/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$fresh" || {
  echo "Maven could not fetch Kafka's jars: check the network, then run this again" >&2
  exit 1
}
if [[ -n "$pin" ]]; then (cd "$fresh" && sha256sum -- *.jar) >"$here/jars.sha256"; fi
if ! (cd "$fresh" && sha256sum --check --strict --quiet "$here/jars.sha256" >&2); then
  echo "a jar differs from deploy/broker/jars.sha256, nothing was installed: do not use this mirror" >&2
  exit 1
fi
unpinned=$(cd "$fresh" && ls -- *.jar | grep -vxFf <(awk '{print $2}' "$here/jars.sha256") || true)
if [[ -n "$unpinned" ]]; then
  echo "jars that jars.sha256 does not know, nothing was installed: $unpinned" >&2
  exit 1
fi
chmod 755 "$fresh"
rm -rf "$libs"
mv "$fresh" "$libs"
trap - EXIT
