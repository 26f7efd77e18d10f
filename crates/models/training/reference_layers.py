# What reference_depth.py and reference_segment.py share: weights from their names, and layers in NumPy, written from the
# papers and from what PyTorch documents of its functions, in 64-bit floats.
import json
import math
import pathlib

import numpy

DATA = pathlib.Path(__file__).resolve().parents[1] / "tests" / "data"


def chance(name, count):
    """Numbers from -1 up to 1: SplitMix64 (G. Steele et al., 2014), begun with the FNV-1a hash of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(40)).astype(numpy.float64) / 2**23 - 1


def seeded(name, shape):
    """The tensor of this name as the tests have it too, rounded to 32 bits."""
    values = chance(name, math.prod(shape)).reshape(shape)
    if name == "input":
        values = 2 * values
    elif name.endswith("weight") and len(shape) > 1:
        values = math.sqrt(3 / math.prod(shape[1:])) * values
    elif name.endswith(("weight", "gamma", "running_var")):
        values = 1 + 0.25 * values
    else:
        values = 0.25 * values
    return values.astype(numpy.float32).astype(numpy.float64)


class Weights:
    """Tensors by name, made when they are declared. What is not declared is not there."""

    def __init__(self):
        self.shapes = {}

    def declare(self, name, *shape):
        self.shapes[name] = list(shape)

    def layer(self, name, *shape):
        """A weight and a bias, of the weight's first dimension."""
        self.declare(name + ".weight", *shape)
        self.declare(name + ".bias", shape[0])

    def __getitem__(self, name):
        return seeded(name, self.shapes[name])


def write(file, weights, shape, output):
    """The names and shapes, and what came of the input, to seven digits."""
    print(f"{file}: {output.shape}, {output.min():.4f} to {output.max():.4f}, {(output > 0).mean():.0%} above 0")
    values = ",".join(f"{value:.7g}" for value in output.ravel())
    tensors = ",\n".join(f"{json.dumps(name)}:{json.dumps(shape)}" for name, shape in weights.shapes.items())
    text = f'{{"tensors":{{\n{tensors}}},\n"input":{list(shape)},\n"output":{list(output.shape)},\n"values":[{values}]}}\n'
    (DATA / file).write_text(text)


def layer_norm(xs, weights, name, epsilon):
    mean, variance = xs.mean(-1, keepdims=True), xs.var(-1, keepdims=True)
    return (xs - mean) / numpy.sqrt(variance + epsilon) * weights[name + ".weight"] + weights[name + ".bias"]


def linear(xs, weights, name):
    return xs @ weights[name + ".weight"].T + weights[name + ".bias"]


def gelu(xs):
    return xs * 0.5 * (1 + numpy.vectorize(math.erf)(xs / math.sqrt(2)))


def relu(xs):
    return numpy.maximum(xs, 0)


def attention(q, k, v, heads):
    """(n, c), (m, c), (m, c) to (n, c)."""
    size = q.shape[1] // heads
    out = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        out.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
    return numpy.concatenate(out, 1)


def conv(xs, weights, name, stride=1, padding=0, bias=True, depthwise=False):
    """(c, h, w), as torch.nn.Conv2d."""
    kernel = weights[name + ".weight"]
    xs = numpy.pad(xs, ((0, 0), (padding, padding), (padding, padding)))
    windows = numpy.lib.stride_tricks.sliding_window_view(xs, kernel.shape[2:], (1, 2))[:, ::stride, ::stride]
    if depthwise:
        out = numpy.einsum("chwij,cij->chw", windows, kernel[:, 0])
    else:
        out = numpy.einsum("chwij,ocij->ohw", windows, kernel, optimize=True)
    return out + weights[name + ".bias"][:, None, None] if bias else out


def conv_transpose(xs, weights, name):
    """(c, h, w), as torch.nn.ConvTranspose2d with a stride as large as its kernel."""
    kernel = weights[name + ".weight"]
    _, outputs, times, _ = kernel.shape
    out = numpy.einsum("chw,coij->ohiwj", xs, kernel)
    return out.reshape(outputs, xs.shape[1] * times, xs.shape[2] * times) + weights[name + ".bias"][:, None, None]


def bilinear(xs, height, width, align_corners):
    """(c, h, w), as torch.nn.functional.interpolate: one matrix for the rows and one for the columns."""

    def matrix(old, new):
        at = numpy.arange(new)
        at = at * (old - 1) / (new - 1) if align_corners else numpy.maximum((at + 0.5) * old / new - 0.5, 0)
        low = numpy.minimum(numpy.floor(at).astype(int), old - 1)
        high = numpy.minimum(low + 1, old - 1)
        out = numpy.zeros((new, old))
        numpy.add.at(out, (numpy.arange(new), low), 1 - (at - low))
        numpy.add.at(out, (numpy.arange(new), high), at - low)
        return out

    return matrix(xs.shape[1], height) @ xs @ matrix(xs.shape[2], width).T
