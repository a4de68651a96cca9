"""The short name by which answers say which model file gave them."""

from __future__ import annotations

import hashlib

IDENTITY_DIGITS = 12
"""Of the SHA-256 of the model file, in a JSON line."""


def identity_of(content: bytes) -> str:
    """Return the first 12 hex digits of the SHA-256 of a model file's bytes."""
    return hashlib.sha256(content).hexdigest()[:IDENTITY_DIGITS]
