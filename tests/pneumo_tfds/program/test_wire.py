"""The wire format is protobuf's own."""

import pytest
import tensorflow as tf

from pneumo_tfds.program import wire


@pytest.mark.parametrize("length", [0, 1, 127, 128, 300, 16_383, 16_384, 50_176])
def test_fields_are_what_protobuf_writes(length):
    value = bytes(length)
    assert wire.field(1, value) == tf.train.BytesList(value=[value]).SerializeToString()
    assert wire.field(1, value) == wire.header(1, length) + value
