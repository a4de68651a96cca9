"""A depthwise convolution whose gradients are fast in bfloat16 on a CPU.

Two of TensorFlow's CPU kernels are slow there, ten to forty times slower than similar ones: the gradient of a strided
depthwise convolution by its input, and that of a 5 x 5 one by its kernel. Both are computed here by fast kernels. For
32 images of 32² with 144 channels, kernel 5, stride 2, they take 11 instead of 197 ms and 7 instead of 78 ms. In
float32 TensorFlow's kernels are as fast, and a GPU has its own; there Keras's layer is used.

The gradient by the input is a convolution without stride: the gradient of the output, spread apart by zeros, under the
reversed kernel. In one dimension, for 5 pixels x, kernel (a b c), stride 2 and a padding of one zero on either side:

    forward     y0 = b x0 + c x1          y1 = a x1 + b x2 + c x3          y2 = a x3 + b x4

    backward    spread output gradient     0   g0   0   g1   0   g2   0
                under (c b a)              dx0 = b g0, dx1 = c g0 + a g1, dx2 = b g1, dx3 = c g1 + a g2, dx4 = b g2

The gradient by the kernel is computed in pieces of 3 x 3: a kernel of 5 = 3 + 2 needs two pieces along each axis, each
of them the gradient of a 3 x 3 convolution on an image that begins where the piece does.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

PIECE = 3  # side of the kernels whose gradient is fast


def layer_class(precision: str) -> type[keras.layers.DepthwiseConv2D]:
    """Return the faster layer class for a dtype policy on this machine; both have the same weights and outputs."""
    slow = precision == "mixed_bfloat16" and not tf.config.list_physical_devices("GPU")
    return DepthwiseConv if slow else keras.layers.DepthwiseConv2D


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
    size, channels = kernel.shape[0], x.shape[3]
    seen = [(places - 1) * stride + PIECE for places in dy.shape[1:3]]  # pixels along each axis that a piece is over
    starts = range(0, size, PIECE)
    margins = []
    for side, pixels in zip(x.shape[1:3], seen, strict=True):
        first = _padding_before(side, size, stride)
        margins.append((first, max(starts[-1] + pixels - first - side, 0)))
    padded = tf.pad(x, ((0, 0), *margins, (0, 0)))

    def piece(down: int, right: int) -> Any:
        gradient = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=padded[:, down : down + seen[0], right : right + seen[1]],
            filter_sizes=(PIECE, PIECE, channels, 1),
            out_backprop=dy,
            strides=[1, stride, stride, 1],
            padding="VALID",
        )
        return gradient[: size - down, : size - right]

    return tf.concat([tf.concat([piece(down, right) for right in starts], 1) for down in starts], 0)
