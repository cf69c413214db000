#!/bin/sh
# Builds liboqs, a second implementation of ML-DSA and ML-KEM, into build/liboqs/lib/liboqs.so; installs nothing.
# Its source is the one inside the crate oqs-sys, which cargo fetches and checks against Cargo.lock.
# Exit status: 0 built or up to date, 3 a tool is missing, anything else: cargo, cmake or ninja failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$here/../.." && pwd)/build/liboqs
library=$build/lib/liboqs.so
algorithms="KEM_ml_kem_512;KEM_ml_kem_768;KEM_ml_kem_1024;SIG_ml_dsa_44;SIG_ml_dsa_65;SIG_ml_dsa_87"

missing() {
    echo "liboqs cannot be built: $1; without it --cross-check has no second implementation of ML-DSA" >&2
    exit 3
}

if [ -f "$library" ] && [ -z "$(find "$here" -newer "$library" -type f)" ]; then
    exit 0
fi
command -v cargo >/dev/null || missing "no cargo (Debian: apt-get install cargo-web, or cargo)"
command -v cmake >/dev/null || missing "no cmake (Debian: apt-get install cmake)"
command -v ninja >/dev/null || missing "no ninja (Debian: apt-get install ninja-build)"
command -v cc >/dev/null || missing "no C compiler (Debian: apt-get install build-essential)"

mkdir -p "$build"
cargo vendor --quiet --locked --manifest-path "$here/Cargo.toml" "$build/crates" >/dev/null
cmake -S "$build/crates/oqs-sys/liboqs" -B "$build/objects" -GNinja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
    -DCMAKE_INSTALL_PREFIX="$build" -DCMAKE_INSTALL_LIBDIR=lib -DOQS_BUILD_ONLY_LIB=ON -DOQS_USE_OPENSSL=OFF -DOQS_DIST_BUILD=ON \
    "-DOQS_MINIMAL_BUILD=$algorithms" >/dev/null
ninja -C "$build/objects" install >/dev/null
# liboqs.so becomes a library of one function that brings the real one with it.
real=$(basename "$(readlink -f "$library")")
cc -shared -fPIC -O2 -I"$build/include" "$here/supports_ctx_str.c" -o "$library.new" -L"$build/lib" -Wl,--no-as-needed "-l:$real" \
    "-Wl,-rpath,\$ORIGIN"
mv "$library.new" "$library"
echo "built $library"
