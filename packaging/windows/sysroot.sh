#!/usr/bin/env bash
# sysroot.sh DIR: builds Rust's standard library for x86_64-pc-windows-gnu from Debian's sources into
# DIR, a sysroot. Takes a minute or two; a sysroot that is complete is kept.
#
# Needs the Debian packages rustc-web, rust-web-src and gcc-mingw-w64-x86-64, and any current cargo.
# No toolchain has to be downloaded, and later builds are plain builds of the stable compiler.
set -euo pipefail

target=x86_64-pc-windows-gnu
dir=$(realpath -m "${1:?usage: sysroot.sh DIR}")
[ ! -e "$dir/complete" ] || exit 0

rm -rf "$dir"
mkdir -p "$dir/seed/src" "$dir/lib/rustlib/$target/lib"
# An empty crate, built only for the standard library that cargo builds before it.
cat >"$dir/seed/Cargo.toml" <<'CARGO'
[package]
name = "seed"
version = "0.0.0"
edition = "2024"

[lib]

[profile.release]
strip = "debuginfo"

[workspace]
CARGO
touch "$dir/seed/src/lib.rs"
# Bitcode, because link-time optimization of the program reaches into the standard library;
# RUSTC_BOOTSTRAP, because building that library is the one step the stable compiler declines.
(
  cd "$dir/seed"
  CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS=-Cembed-bitcode=yes RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
    CARGO_TARGET_DIR="$dir/seed/target" cargo build --release --target "$target" -Zbuild-std=std,panic_abort
)
cp "$dir/seed/target/$target/release/deps"/*.rlib "$dir/lib/rustlib/$target/lib/"
rm -rf "$dir/lib/rustlib/$target/lib"/libseed-*.rlib "$dir/seed"
touch "$dir/complete"
