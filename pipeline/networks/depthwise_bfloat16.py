"""A depthwise convolution whose gradients are fast in bfloat16 on a CPU.

TensorFlow's CPU kernels have two holes there: the gradient of a strided depthwise convolution by its input, and that
of a 5 x 5 one by its kernel, take ten to forty times as long as their neighbours. Both are rewritten in kernels that
are fast: the first as a convolution without stride of the gradient with zeros put between its places, the second as
four 3 x 3 gradients side by side. For 32 images of 32² with 144 channels, kernel 5, stride 2: 197 to 11 and 78 to 7 ms.
In float32 TensorFlow's are as fast, and a GPU has its own; there Keras's layer is used.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from pipeline.devices.precision import bfloat16_on_cpu


def layer_class() -> type[keras.layers.DepthwiseConv2D]:
    """Which layer the global dtype policy and the device ask for; both have the same weights and the same answer."""
    return DepthwiseConv if bfloat16_on_cpu() else keras.layers.DepthwiseConv2D


class DepthwiseConv(keras.layers.DepthwiseConv2D):
    """`DepthwiseConv2D` with these gradients: kernel 3 or 5, stride 1 or 2, padding "same", no bias."""

    def call(self, inputs: Any) -> Any:
        """Filter `[N, H, W, C]`, of known height, width and channels."""
        stride = self.strides[0]

        @tf.custom_gradient
        def convolve(x: Any, kernel: Any) -> Any:
            result = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")
            return result, lambda flow: (_by_input(flow, x, kernel, stride), _by_kernel(flow, x, kernel, stride))

        return convolve(inputs, tf.convert_to_tensor(keras.ops.convert_to_tensor(self.kernel)))


def _before(side: int, kernel: int, stride: int) -> int:
    """How many zeros TensorFlow's "same" padding puts before the first of `side` pixels."""
    return max((-(-side // stride) - 1) * stride + kernel - side, 0) // 2


def _by_input(flow: Any, x: Any, kernel: Any, stride: int) -> Any:
    """The gradient by the input: the flow, each value `stride` places from the next, under the turned kernel."""
    size, (_, *sides, channels), spread = kernel.shape[0], x.shape, flow
    if stride > 1:
        height, width = flow.shape[1:3]
        spread = tf.stack([spread, tf.zeros_like(spread)], 3)
        spread = tf.reshape(spread, (-1, height, 1, 2 * width, channels))
        spread = tf.reshape(tf.concat([spread, tf.zeros_like(spread)], 2), (-1, 2 * height, 2 * width, channels))
    margins = []
    for side, wide in zip(sides, spread.shape[1:3], strict=True):
        first = size - 1 - _before(side, size, stride)
        margins.append((first, max(side + size - 1 - first - wide, 0)))
    spread = tf.pad(spread, ((0, 0), *margins, (0, 0)))[:, : sides[0] + size - 1, : sides[1] + size - 1]
    return tf.nn.depthwise_conv2d(spread, tf.reverse(kernel, (0, 1)), [1, 1, 1, 1], "VALID")


def _by_kernel(flow: Any, x: Any, kernel: Any, stride: int) -> Any:
    """The gradient by the kernel, piece by piece of 3 x 3."""
    size, channels = kernel.shape[0], x.shape[3]
    reach = [(places - 1) * stride + 3 for places in flow.shape[1:3]]  # pixels that a piece of 3 x 3 sees
    starts = range(0, size, 3)
    margins = []
    for side, seen in zip(x.shape[1:3], reach, strict=True):
        first = _before(side, size, stride)
        margins.append((first, max(starts[-1] + seen - first - side, 0)))
    padded = tf.pad(x, ((0, 0), *margins, (0, 0)))

    def piece(down: int, right: int) -> Any:
        gradient = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=padded[:, down : down + reach[0], right : right + reach[1]],
            filter_sizes=(3, 3, channels, 1),
            out_backprop=flow,
            strides=[1, stride, stride, 1],
            padding="VALID",
        )
        return gradient[: size - down, : size - right]

    return tf.concat([tf.concat([piece(down, right) for right in starts], 1) for down in starts], 0)
