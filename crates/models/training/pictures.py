#!/usr/bin/env python3
# Writes the pictures that the models are trained on and judged by, as PPM files:
#
#     python3 -m venv target/pictures && target/pictures/bin/pip install scikit-image
#     target/pictures/bin/python crates/models/training/pictures.py target/pictures/ppm
#
# They are sample pictures of scikit-image and frames of crates/cli/assets/clip (taken out by ffmpeg). docs/MODELS.md has their
# licences. What is held out is written to another folder, and its middles to crates/models/tests/data; the
# training reads neither.
import pathlib
import subprocess
import sys

import skimage
from PIL import Image

# By name: how often to halve before use, because JPEG blocks and interpolated sensor pixels are no detail.
TRAINING = {
    "astronaut.png": 0, "brick.png": 0, "grass.png": 0, "gravel.png": 0, "horse.png": 0,
    "hubble_deep_field.jpg": 1, "retina.jpg": 1, "rocket.jpg": 0, "text.png": 0,
}
HELD_OUT = ["camera.png", "chelsea.png", "coffee.png"]
# Seconds into the clip. Nothing of the clip is held out: its pictures are too alike.
CLIP_TIMES = [0.3, 1.5, 2.7, 3.9, 4.8]
CROP = 160

root = pathlib.Path(__file__).resolve().parents[3]
samples = pathlib.Path(skimage.__file__).parent / "data"
out = pathlib.Path(sys.argv[1])
for folder in ("training", "held-out"):
    (out / folder).mkdir(parents=True, exist_ok=True)


def rgb(path):
    picture = Image.open(path)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def save_for_training(picture, name):
    # Detail looks different at every scale.
    for percent in (100, 70, 50):
        size = [side * percent // 100 for side in picture.size]
        picture.resize(size, Image.Resampling.LANCZOS).save(out / "training" / f"{name}-{percent}.ppm")


for name, halvings in TRAINING.items():
    picture = rgb(samples / name)
    save_for_training(picture.reduce(2**halvings) if halvings else picture, name.split(".")[0])
for index, time in enumerate(CLIP_TIMES):
    frame = out / f"clip{index}.png"
    clip = root / "assets" / "clip" / "big-buck-bunny.ts"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-i", clip, "-ss", str(time), "-frames:v", "1", frame], check=True)
    save_for_training(rgb(frame).reduce(2), f"clip{index}")
    frame.unlink()
for name in HELD_OUT:
    picture = rgb(samples / name)
    stem = name.split(".")[0]
    picture.save(out / "held-out" / f"{stem}.ppm")
    left, top = (picture.width - CROP) // 2, (picture.height - CROP) // 2
    crop = picture.crop((left, top, left + CROP, top + CROP))
    crop.save(root / "crates" / "models" / "tests" / "data" / f"{stem}.ppm")
