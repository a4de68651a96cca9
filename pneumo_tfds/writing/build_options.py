"""What a user can choose about a build, except the splits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BuildOptions:
    """Build options that affect speed and side effects but not the records."""

    workers: int | None = None
    """Number of decoding threads; None for one per core, 0 to decode in the caller's thread."""
    look_for_near_identical: bool = True
    """Look for near-identical images in different splits, which takes about as long as building from 224 x 224 JPEGs;
    metadata.json and the summary name them."""
    overwrite: bool = False
    """Replace a dataset of the same name that was built from another source or with other splits."""
    download: bool = False
    """Download the published archive (1.2 GB) if no source is given and TFDS's manual folder has none."""
    register_checksums: bool = False
    """Record the checksum of what is downloaded; later downloads are checked against it."""
    beam_runner: str | None = None
    """Build on this Apache Beam runner, for example DirectRunner (needs the beam extra)."""
    beam_options: tuple[str, ...] = ()
    """Pipeline options for Beam, such as direct_num_workers=4 direct_running_mode=multi_processing."""
