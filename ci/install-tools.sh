#!/usr/bin/env bash
# Installs what the tests need in addition to Rust and a C/C++ compiler, on Debian and Ubuntu. ffprobe and
# ffmpeg check every stream that a test creates, and nasm builds openh264's assembly. libavcodec, and clang's
# library to read its headers, are for the feature `ffmpeg`.
set -euo pipefail
missing=()
command -v ffprobe >/dev/null || missing+=(ffmpeg)
command -v nasm >/dev/null || missing+=(nasm)
for package in libavcodec-dev libclang-dev; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
