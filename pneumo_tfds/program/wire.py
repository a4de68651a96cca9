"""Protobuf's wire format, as far as a `tf.train.Example` needs it: varints and length-delimited fields."""

from __future__ import annotations

LENGTH_DELIMITED = 2  # wire type of bytes, strings and nested messages


def varint(value: int) -> bytes:
    """Return a number of at least 0 in groups of 7 bits, lowest first; the top bit of a byte says that more follow."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def header(number: int, length: int) -> bytes:
    """Return the tag and the length that precede the `length` bytes of field `number` (1 to 15)."""
    return bytes((number << 3 | LENGTH_DELIMITED,)) + varint(length)


def field(number: int, payload: bytes) -> bytes:
    """Return a length-delimited field with its header."""
    return header(number, len(payload)) + payload
