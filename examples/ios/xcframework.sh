#!/bin/sh
# Builds Drift.xcframework: the runtime with Metal, for devices and for simulators. On a Mac, with Xcode.
set -eu
cd "$(dirname "$0")"
root=../..
export IPHONEOS_DEPLOYMENT_TARGET=16.0

headers=build/headers
mkdir -p "$headers"
cp "$root/runtime-c/include/drift.h" module.modulemap "$headers"

set --
for target in aarch64-apple-ios aarch64-apple-ios-sim; do
    cargo build --release --package drift-c --no-default-features --features metal,mmap \
        --target "$target" --manifest-path "$root/Cargo.toml"
    set -- "$@" -library "$root/target/$target/release/libdrift.a" -headers "$headers"
done

rm -rf Drift.xcframework
xcodebuild -create-xcframework "$@" -output Drift.xcframework
