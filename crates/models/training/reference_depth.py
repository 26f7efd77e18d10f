#!/usr/bin/env python3
# Writes what Depth Anything V2 makes of a seeded picture with seeded weights, to crates/models/tests/data/depth.json:
#
#     python3 -m venv target/reference && target/reference/bin/pip install numpy
#     target/reference/bin/python crates/models/training/reference_depth.py
#
# The authors' network with fewer channels and blocks: two heads, eight blocks, five by five patches.
import numpy

from reference_layers import (
    Weights, attention, bilinear, conv, conv_transpose, gelu, layer_norm, linear, relu, seeded, write,
)

CHANNELS, HEADS, BLOCKS, GRID, PATCH = 128, 2, 8, 5, 14
TAKEN = [1, 3, 5, 7]
WIDTHS, FEATURES, LAST = [12, 16, 24, 24], 24, 20
EPSILON = 1e-6

w = Weights()
w.declare("pretrained.cls_token", 1, 1, CHANNELS)
w.declare("pretrained.pos_embed", 1, GRID * GRID + 1, CHANNELS)
w.declare("pretrained.mask_token", 1, CHANNELS)
w.layer("pretrained.patch_embed.proj", CHANNELS, 3, PATCH, PATCH)
for i in range(BLOCKS):
    block = f"pretrained.blocks.{i}"
    w.layer(f"{block}.norm1", CHANNELS)
    w.layer(f"{block}.attn.qkv", 3 * CHANNELS, CHANNELS)
    w.layer(f"{block}.attn.proj", CHANNELS, CHANNELS)
    w.declare(f"{block}.ls1.gamma", CHANNELS)
    w.layer(f"{block}.norm2", CHANNELS)
    w.layer(f"{block}.mlp.fc1", 4 * CHANNELS, CHANNELS)
    w.layer(f"{block}.mlp.fc2", CHANNELS, 4 * CHANNELS)
    w.declare(f"{block}.ls2.gamma", CHANNELS)
w.layer("pretrained.norm", CHANNELS)
for i, width in enumerate(WIDTHS):
    w.layer(f"depth_head.projects.{i}", width, CHANNELS, 1, 1)
w.layer("depth_head.resize_layers.0", WIDTHS[0], WIDTHS[0], 4, 4)
w.layer("depth_head.resize_layers.1", WIDTHS[1], WIDTHS[1], 2, 2)
w.layer("depth_head.resize_layers.3", WIDTHS[3], WIDTHS[3], 3, 3)
scratch = "depth_head.scratch"
for i, width in enumerate(WIDTHS, 1):
    w.declare(f"{scratch}.layer{i}_rn.weight", FEATURES, width, 3, 3)
    w.layer(f"{scratch}.refinenet{i}.out_conv", FEATURES, FEATURES, 1, 1)
    for unit in (1, 2):
        for j in (1, 2):
            w.layer(f"{scratch}.refinenet{i}.resConfUnit{unit}.conv{j}", FEATURES, FEATURES, 3, 3)
w.layer(f"{scratch}.output_conv1", FEATURES // 2, FEATURES, 3, 3)
w.layer(f"{scratch}.output_conv2.0", LAST, FEATURES // 2, 3, 3)
w.layer(f"{scratch}.output_conv2.2", 1, LAST, 1, 1)

# DINOv2.
shape = (1, 3, GRID * PATCH, GRID * PATCH)
patches = conv(seeded("input", shape)[0], w, "pretrained.patch_embed.proj", stride=PATCH)
positions = w["pretrained.pos_embed"][0]
class_token = w["pretrained.cls_token"][0] + positions[:1]
patches = patches.reshape(CHANNELS, -1).T + positions[1:]
tokens = numpy.concatenate([class_token, patches])
features = []
for i in range(BLOCKS):
    block = f"pretrained.blocks.{i}"
    qkv = linear(layer_norm(tokens, w, f"{block}.norm1", EPSILON), w, f"{block}.attn.qkv")
    q, k, v = (qkv[:, part * CHANNELS:(part + 1) * CHANNELS] for part in range(3))
    looked = linear(attention(q, k, v, HEADS), w, f"{block}.attn.proj")
    tokens = tokens + looked * w[f"{block}.ls1.gamma"]
    hidden = gelu(linear(layer_norm(tokens, w, f"{block}.norm2", EPSILON), w, f"{block}.mlp.fc1"))
    tokens = tokens + linear(hidden, w, f"{block}.mlp.fc2") * w[f"{block}.ls2.gamma"]
    if i in TAKEN:
        features.append(layer_norm(tokens, w, "pretrained.norm", EPSILON)[1:])

# The dense prediction head.
levels = []
for i, tokens in enumerate(features):
    level = conv(tokens.T.reshape(CHANNELS, GRID, GRID), w, f"depth_head.projects.{i}")
    if i < 2:
        level = conv_transpose(level, w, f"depth_head.resize_layers.{i}")
    if i == 3:
        level = conv(level, w, "depth_head.resize_layers.3", stride=2, padding=1)
    levels.append(level)
sizes = [level.shape[1:] for level in levels]


def residual(xs, name):
    inner = conv(relu(xs), w, f"{name}.conv1", padding=1)
    return conv(relu(inner), w, f"{name}.conv2", padding=1) + xs


path = None
for i in (3, 2, 1, 0):
    net = f"{scratch}.refinenet{i + 1}"
    level = conv(levels[i], w, f"{scratch}.layer{i + 1}_rn", padding=1, bias=False)
    if path is not None:
        level = path + residual(level, f"{net}.resConfUnit1")
    level = residual(level, f"{net}.resConfUnit2")
    height, width = sizes[i - 1] if i else (2 * sizes[0][0], 2 * sizes[0][1])
    path = conv(bilinear(level, height, width, True), w, f"{net}.out_conv")
path = conv(path, w, f"{scratch}.output_conv1", padding=1)
path = bilinear(path, GRID * PATCH, GRID * PATCH, True)
path = relu(conv(path, w, f"{scratch}.output_conv2.0", padding=1))
depth = relu(conv(path, w, f"{scratch}.output_conv2.2"))
write("depth.json", w, shape, depth[None])
