"""Protobuf's wire format, as far as a `tf.train.Example` needs it: length-delimited fields."""

from __future__ import annotations

from functools import lru_cache

LENGTH_DELIMITED = 2  # wire type of bytes, strings and nested messages


@lru_cache(4096)  # most fields of most records have the same lengths
def header(number: int, length: int) -> bytes:
    """Return what precedes the `length` bytes of field `number` (1 to 15): its tag, and the length as a varint.

    A varint has 7 bits of the number in each byte, the lowest first; the top bit of a byte says that more follow.
    """
    encoded = bytearray((number << 3 | LENGTH_DELIMITED,))
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)


def field(number: int, payload: bytes) -> bytes:
    """Return a length-delimited field with its header."""
    return header(number, len(payload)) + payload
