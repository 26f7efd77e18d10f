#!/usr/bin/env python3
# Writes what SegFormer makes of a seeded picture with seeded weights, to crates/models/tests/data/segment.json:
#
#     python3 -m venv target/reference && target/reference/bin/pip install numpy
#     target/reference/bin/python crates/models/training/reference_segment.py
#
# The network of the paper with fewer channels and layers, under the names of Hugging Face's files, on a picture that is
# wider than high and whose sides do not divide evenly.
import numpy

from reference_layers import (
    Weights, attention, bilinear, conv, gelu, layer_norm, linear, relu, seeded, write,
)

WIDTHS, LAYERS, HEADS, REDUCTIONS = [8, 16, 40, 64], [1, 2, 1, 1], [1, 2, 5, 8], [8, 4, 2, 1]
PATCHES, STRIDES = [7, 3, 3, 3], [4, 2, 2, 2]
HEAD, CLASSES = 32, 7
SHAPE = (1, 3, 70, 104)
EPSILON = 1e-5

w = Weights()
encoder = "segformer.encoder"
for i, width in enumerate(WIDTHS):
    inputs = WIDTHS[i - 1] if i else 3
    w.layer(f"{encoder}.patch_embeddings.{i}.proj", width, inputs, PATCHES[i], PATCHES[i])
    w.layer(f"{encoder}.patch_embeddings.{i}.layer_norm", width)
    for j in range(LAYERS[i]):
        layer = f"{encoder}.block.{i}.{j}"
        w.layer(f"{layer}.layer_norm_1", width)
        for name in ("query", "key", "value"):
            w.layer(f"{layer}.attention.self.{name}", width, width)
        if REDUCTIONS[i] > 1:
            w.layer(f"{layer}.attention.self.sr", width, width, REDUCTIONS[i], REDUCTIONS[i])
            w.layer(f"{layer}.attention.self.layer_norm", width)
        w.layer(f"{layer}.attention.output.dense", width, width)
        w.layer(f"{layer}.layer_norm_2", width)
        w.layer(f"{layer}.mlp.dense1", 4 * width, width)
        w.layer(f"{layer}.mlp.dwconv.dwconv", 4 * width, 1, 3, 3)
        w.layer(f"{layer}.mlp.dense2", width, 4 * width)
    w.layer(f"{encoder}.layer_norm.{i}", width)
    w.layer(f"decode_head.linear_c.{i}.proj", HEAD, width)
w.declare("decode_head.linear_fuse.weight", HEAD, 4 * HEAD, 1, 1)
w.layer("decode_head.batch_norm", HEAD)
w.declare("decode_head.batch_norm.running_mean", HEAD)
w.declare("decode_head.batch_norm.running_var", HEAD)
w.layer("decode_head.classifier", CLASSES, HEAD, 1, 1)


def tokens_of(level):
    return level.reshape(level.shape[0], -1).T


def map_of(tokens, size):
    return tokens.T.reshape(-1, *size)


level = seeded("input", SHAPE)[0]
levels = []
for i, width in enumerate(WIDTHS):
    embed = f"{encoder}.patch_embeddings.{i}"
    level = conv(level, w, f"{embed}.proj", stride=STRIDES[i], padding=PATCHES[i] // 2)
    size = level.shape[1:]
    tokens = layer_norm(tokens_of(level), w, f"{embed}.layer_norm", EPSILON)
    for j in range(LAYERS[i]):
        layer = f"{encoder}.block.{i}.{j}"
        looking = f"{layer}.attention.self"
        normed = few = layer_norm(tokens, w, f"{layer}.layer_norm_1", EPSILON)
        if REDUCTIONS[i] > 1:
            few = tokens_of(conv(map_of(normed, size), w, f"{looking}.sr", stride=REDUCTIONS[i]))
            few = layer_norm(few, w, f"{looking}.layer_norm", EPSILON)
        q = linear(normed, w, f"{looking}.query")
        k, v = linear(few, w, f"{looking}.key"), linear(few, w, f"{looking}.value")
        tokens = tokens + linear(attention(q, k, v, HEADS[i]), w, f"{layer}.attention.output.dense")
        hidden = linear(layer_norm(tokens, w, f"{layer}.layer_norm_2", EPSILON), w, f"{layer}.mlp.dense1")
        hidden = conv(map_of(hidden, size), w, f"{layer}.mlp.dwconv.dwconv", padding=1, depthwise=True)
        tokens = tokens + linear(gelu(tokens_of(hidden)), w, f"{layer}.mlp.dense2")
    tokens = layer_norm(tokens, w, f"{encoder}.layer_norm.{i}", EPSILON)
    level = map_of(tokens, size)
    levels.append(level)

finest = levels[0].shape[1:]
wide = []
for i, level in enumerate(levels):
    projected = linear(tokens_of(level), w, f"decode_head.linear_c.{i}.proj")
    wide.append(bilinear(map_of(projected, level.shape[1:]), *finest, False))
fused = conv(numpy.concatenate(wide[::-1]), w, "decode_head.linear_fuse", bias=False)
norm = "decode_head.batch_norm"
channel = {name: w[f"{norm}.{name}"][:, None, None] for name in ("weight", "bias", "running_mean", "running_var")}
fused = (fused - channel["running_mean"]) / numpy.sqrt(channel["running_var"] + EPSILON)
fused = relu(fused * channel["weight"] + channel["bias"])
write("segment.json", w, SHAPE, conv(fused, w, "decode_head.classifier")[None])
