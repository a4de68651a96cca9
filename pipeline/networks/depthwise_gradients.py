"""A depthwise convolution whose gradients are fast on a CPU.

Two of TensorFlow's CPU kernels are several times slower than similar ones: the gradient of a 5 x 5 depthwise
convolution by its kernel, and in bfloat16 also that of a strided one by its input. Both are computed here by fast
kernels. For 32 images of 4² with 1,152 channels in float32 the first takes 7 instead of 16 ms of processor time, and 6
instead of 53 with AVX2 (Intel Xeon, AVX2 imitated). For 32² with 144 channels, stride 2, in bfloat16 they take 7
instead of 78 and 11 instead of 197 ms (AMD EPYC). In float32 larger images are left to TensorFlow, which is as fast
there, and a GPU has its own.

The gradient by the kernel is computed in pieces of 3 x 3, each of them that of a 3 x 3 convolution over a part of the
padded image: rows 0 to 2 and 2 to 4 of the kernel, and so for columns. Row and column 2 are computed twice.

The gradient by the input is a convolution without stride: the gradient of the output, spread apart by zeros, under the
reversed kernel. In one dimension, for 5 pixels x, kernel (a b c), stride 2 and a padding of one zero on either side:

    forward     y0 = b x0 + c x1          y1 = a x1 + b x2 + c x3          y2 = a x3 + b x4

    backward    spread output gradient     0   g0   0   g1   0   g2   0
                under (c b a)              dx0 = b g0, dx1 = c g0 + a g1, dx2 = b g1, dx3 = c g1 + a g2, dx4 = b g2
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

PIECE = 3
"""Side of the kernels whose gradient is fast."""
SMALL = 16
"""Pixels a side up to which the pieces are faster than TensorFlow's kernel in float32."""


class DepthwiseConv(keras.layers.DepthwiseConv2D):
    """`DepthwiseConv2D` with these gradients: kernel 3 or 5, stride 1 or 2, padding "same", no bias."""

    def call(self, inputs: Any) -> Any:
        """Filter `[N, H, W, C]`, of known height, width and channels."""
        stride = self.strides[0]

        @tf.custom_gradient
        def convolve(x: Any, kernel: Any) -> Any:
            result = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")
            return result, lambda dy: (_input_gradient(dy, x, kernel, stride), _kernel_gradient(dy, x, kernel, stride))

        return convolve(inputs, tf.convert_to_tensor(keras.ops.convert_to_tensor(self.kernel)))


def _padding_before(side: int, kernel: int, stride: int) -> int:
    """Return how many zeros TensorFlow's "same" padding puts before the first of `side` pixels."""
    return max((-(-side // stride) - 1) * stride + kernel - side, 0) // 2


def _input_gradient(dy: Any, x: Any, kernel: Any, stride: int) -> Any:
    if x.dtype != tf.bfloat16:
        return tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, strides=[1, stride, stride, 1], padding="SAME"
        )
    size, (_, *sides, channels), spread = kernel.shape[0], x.shape, dy
    if stride > 1:
        height, width = dy.shape[1:3]
        spread = tf.stack([spread, tf.zeros_like(spread)], 3)
        spread = tf.reshape(spread, (-1, height, 1, 2 * width, channels))
        spread = tf.reshape(tf.concat([spread, tf.zeros_like(spread)], 2), (-1, 2 * height, 2 * width, channels))
    margins = []
    for side, wide in zip(sides, spread.shape[1:3], strict=True):
        first = size - 1 - _padding_before(side, size, stride)
        margins.append((first, max(side + size - 1 - first - wide, 0)))
    spread = tf.pad(spread, ((0, 0), *margins, (0, 0)))[:, : sides[0] + size - 1, : sides[1] + size - 1]
    return tf.nn.depthwise_conv2d(spread, tf.reverse(kernel, (0, 1)), [1, 1, 1, 1], "VALID")


def _kernel_gradient(dy: Any, x: Any, kernel: Any, stride: int) -> Any:
    size, places, sides = kernel.shape[0], dy.shape[1:3], x.shape[1:3]
    bfloat16 = x.dtype == tf.bfloat16
    if not bfloat16 and (size == PIECE or max(sides) > SMALL):
        return _gradient(x, dy, size, stride, "SAME")
    if bfloat16 and size == PIECE <= min(sides):  # on smaller ones its kernel adds what its memory held before
        return _gradient(x, dy, size, stride, "SAME")
    before = [_padding_before(side, size, stride) for side in sides]
    if bfloat16:  # in which explicit padding has a slow kernel that sums less exactly
        after = [(n - 1) * stride + size - side - first for n, side, first in zip(places, sides, before, strict=True)]
        x = tf.pad(x, ((0, 0), *zip(before, after, strict=True), (0, 0)))
        sides, before = x.shape[1:3], [0, 0]
    if size == PIECE:
        return _gradient(x, dy, size, stride, "VALID")

    def piece(*starts: int) -> Any:
        """Return the gradient by the part of the kernel that begins at a row and a column."""
        seen, zeros = [], []
        for n, side, first, start in zip(places, sides, before, starts, strict=True):
            ends = first - start, (n - 1) * stride + PIECE - side - (first - start)  # negative where pixels are unseen
            seen.append(slice(max(-ends[0], 0), side - max(-ends[1], 0)))
            zeros += [max(end, 0) for end in ends]
        part = x[:, seen[0], seen[1]]
        if not any(zeros):
            return _gradient(part, dy, PIECE, stride, "VALID")
        return _gradient(part, dy, PIECE, stride, "EXPLICIT", explicit_paddings=[0, 0, *zeros, 0, 0])

    last = size - PIECE
    upper = tf.concat([piece(0, 0)[:, :last], piece(0, last)], 1)
    lower = tf.concat([piece(last, 0)[:, :last], piece(last, last)], 1)
    return tf.concat([upper[:last], lower], 0)


def _gradient(x: Any, dy: Any, size: int, stride: int, padding: str, **options: Any) -> Any:
    """Return TensorFlow's gradient of a depthwise convolution by its kernel, `[size, size, C, 1]`."""
    shape, strides = (size, size, x.shape[3], 1), [1, stride, stride, 1]
    return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
        input=x, filter_sizes=shape, out_backprop=dy, strides=strides, padding=padding, **options
    )
