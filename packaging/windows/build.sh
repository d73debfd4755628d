#!/usr/bin/env bash
# build.sh [CARGO-ARGUMENT...]: cross-builds the release executable for 64-bit Windows on Debian and
# prints its path on the last line of standard output.
#
# Needs the Debian packages rustc-web, rust-web-src and gcc-mingw-w64-x86-64, and any current cargo.
# The standard library for Windows is built once into the cache directory of the tests.
set -euo pipefail

repo=$(realpath "$(dirname "$0")/../..")
cache=${TELEGRAF_ROLLUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/telegraf-rollup}
target=x86_64-pc-windows-gnu

# A sysroot serves only the compiler that built it.
key=$({ /usr/bin/rustc -vV; x86_64-w64-mingw32-gcc --version; cat "$repo/packaging/windows/sysroot.sh"; } | sha256sum | cut -c1-12)
sysroot=$cache/windows-sysroot-$key
"$repo/packaging/windows/sysroot.sh" "$sysroot" >&2

cd "$repo"
# The sysroot belongs to Debian's compiler, so that one is called even where another Rust comes first
# in PATH. Without a time stamp in its header the same source gives the same executable.
export RUSTC=/usr/bin/rustc CARGO_TARGET_DIR=$cache/win-target
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS="--sysroot $sysroot -C link-arg=-Wl,--no-insert-timestamp"
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
cargo build --release --locked --target "$target" "$@" >&2

exe=$CARGO_TARGET_DIR/$target/release/telegraf-rollup.exe
[ -s "$exe" ] || { echo "error: the build made no $exe" >&2; exit 1; }
printf '%s\n' "$exe"
