"""Files that take pictures of any size: their second input, and how they are told from the ordinary ones."""

from __future__ import annotations

from collections.abc import Mapping

JPEG = "jpeg"
"""Their second input, bool `[1]`: whether `image` was decoded from a JPEG at its full size."""
RESIZE_INSIDE = "in the file: image is uint8 [N, H, W, C], grey or RGB of any size; jpeg is whether it was a JPEG"
"""Their metadata `resize`, which for other files says what comes before the model."""


def of_any_size_file(props: Mapping[str, str], parent_sha256: str) -> dict[str, str]:
    """Return the keys for such a file, from those of the float32 file that it is made of.

    A guarantee was shown with the pixels of `pneumo_tfds.decode`, which may differ by some grey levels.
    `parent_sha256` is that of the float32 file, or empty if it is not known.
    """
    found = {**props, "resize": RESIZE_INSIDE}
    if "guarantee" in props:
        found["guarantee"] = f"shown for the file without preprocessing: {props['guarantee']}"
    return found | ({"parent_sha256": parent_sha256} if parent_sha256 else {})
