"""The one set of augmentations that every contender applies, so that none does more than another."""

from __future__ import annotations

from pipeline.config import AugmentConfig

# The geometry of the peers (10 degrees of rotation, 5 of shear, 20 % of zoom, 8 % of shift) and, which only some of
# them have, intensities. Sharpness and grain, which none has, are off.
CHANGES = AugmentConfig(zoom=0.2, aspect=0.1, shift=0.08, sharpness=0.0, noise=0.0)
EVERYTHING = AugmentConfig()
"""What a run does by itself: wider framing, sharpness and grain too."""
