#!/usr/bin/env bash
# Unpacks Debian's Prometheus into build/prometheus, for tests: installed, it would start a service of its own.
# Exit status: 0 there, 3 it cannot be had here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
place=$here/../../build/prometheus
if [[ -x "$place/usr/bin/prometheus" ]]; then exit 0; fi
if ! command -v apt-get dpkg-deb >/dev/null; then
  echo "Prometheus cannot be had without apt-get: the test of the metrics is skipped"
  exit 3
fi
mkdir -p "$place"
cd "$place"
if ! apt-get download prometheus; then
  echo "Prometheus cannot be downloaded: the test of the metrics is skipped"
  exit 3
fi
dpkg-deb --extract prometheus_*.deb .
rm prometheus_*.deb
