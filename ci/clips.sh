#!/usr/bin/env bash
# Creates the short clips that the tests of a GPU's decoder read, in a folder. Each clip is a byte stream with
# access unit delimiters (.h264, .h265) or a transport stream (.ts). Next to it are the frames that ffmpeg's
# own decoders return, which the tests compare with (.yuv: planar 4:2:0, two bytes per sample above 8 bits).
#   ci/clips.sh FOLDER
set -euo pipefail
folder=${1:?folder}
mkdir -p "$folder"
make() { # name size pixels options...
  local name=$1 size=$2 pixels=$3; shift 3
  ffmpeg -hide_banner -loglevel error -y -f lavfi -i "testsrc2=size=$size:rate=30,trim=end_frame=24" \
    -pix_fmt "$pixels" "$@" "$folder/$name"
  ffmpeg -hide_banner -loglevel error -y -i "$folder/$name" -f rawvideo -pix_fmt "$pixels" "$folder/${name%.*}.yuv"
}
x265() { # name size pixels parameters
  make "$1" "$2" "$3" -c:v libx265 -preset fast -x265-params "log-level=none:pools=none:frame-threads=1:repeat-headers=1:aud=1:keyint=12:$4"
}
make h264.h264 320x180 yuv420p -c:v libx264 -threads 1 -bf 0 -x264-params aud=1:keyint=12
x265 h265.h265 320x180 yuv420p bframes=0
x265 h265-small.h265 256x144 yuv420p bframes=0
# This has the same coded size as the first clip, but a larger displayed area.
x265 h265-uncut.h265 320x184 yuv420p bframes=0
x265 h265-10.h265 320x180 yuv420p10le bframes=0
# Frames are decoded in a different order than they are displayed in, and refer to later ones.
x265 h265-b.ts 320x180 yuv420p bframes=4:b-pyramid=1:open-gop=1
x265 h265-10-b.ts 320x180 yuv420p10le bframes=4:b-pyramid=1:open-gop=0
# 60 fields per second, with the upper or the lower field first. The tests compare with the frames that the fields were
# taken from.
for order in top bottom; do
  first=$([ $order = top ] && echo 1 || echo 0)
  source="testsrc2=size=320x192:rate=60,trim=end_frame=48"
  ffmpeg -hide_banner -loglevel error -y -f lavfi -i "$source,tinterlace=mode=interleave_$order" -pix_fmt yuv420p \
    -c:v libx264 -threads 1 -bf 0 -crf 12 -flags +ildct+ilme -top $first -x264-params aud=1:keyint=12 \
    "$folder/interlaced-$order.h264"
  ffmpeg -hide_banner -loglevel error -y -f lavfi -i "$source" -f rawvideo -pix_fmt yuv420p "$folder/interlaced-$order.yuv"
done
