#!/bin/sh
# Builds the PKCS#11 3.2 token (Kryoptic, OpenSSL inside) into build/token/libkryoptic_token.so; installs nothing.
# Exit status: 0 built or up to date, 3 a tool is missing (use SoftHSM2 instead), anything else: cargo failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$here/../.." && pwd)/build/token
library=$build/libkryoptic_token.so
oldest=1.85

missing() {
    echo "the PKCS#11 3.2 token cannot be built: $1; without it keys live in SoftHSM2, and ML-DSA seeds are only sealed by it" >&2
    exit 3
}

any() { for file in "$@"; do [ ! -e "$file" ] || return 0; done; return 1; }

newest_cargo() {
    for cargo in "${CARGO:-cargo}" /usr/bin/cargo "${HOME:-/root}/.cargo/bin/cargo"; do
        version=$("$cargo" --version 2>/dev/null | cut -d' ' -f2) || continue
        [ -n "$version" ] && [ "$(printf '%s\n' "$oldest" "$version" | sort -V | head -n1)" = "$oldest" ] && echo "$cargo" && return
    done
    return 1
}

if [ -f "$library" ] && [ -z "$(find "$here" -newer "$library" -type f)" ]; then
    exit 0
fi
cargo=$(newest_cargo) || missing "no cargo of $oldest or newer was found (Debian: apt-get install cargo-web)"
command -v cc >/dev/null || missing "no C compiler (Debian: apt-get install build-essential)"
command -v perl >/dev/null || missing "no perl, which configures OpenSSL (Debian: apt-get install perl)"
[ -n "${LIBCLANG_PATH:-}" ] || any /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* \
    || missing "no libclang (Debian: apt-get install libclang-dev)"

mkdir -p "$build"
PATH=$(dirname "$(command -v "$cargo")"):$PATH CARGO_TARGET_DIR=$build/cargo \
    "$cargo" build --release --locked --quiet --manifest-path "$here/Cargo.toml"
install -m 644 "$build/cargo/release/libkryoptic_token.so" "$library.new"
mv "$library.new" "$library"
echo "built $library"
