"""Turn images into records: read, hash, decode and serialise each image in one step, and log what is skipped.

The same step runs in threads on one machine and on Beam's workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pneumo_tfds.decode import Grey, decode_full, resize
from pneumo_tfds.decode.colour import colour_of_file
from pneumo_tfds.decode.dicom_header import read_facts
from pneumo_tfds.decode.exposure import exposure_remark
from pneumo_tfds.decode.fitness import unfit
from pneumo_tfds.decode.headers import read_header
from pneumo_tfds.program import wire
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.framing_names import DEFAULT_FRAMING, Framing
from pneumo_tfds.program.parallel import ordered_map
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.inventory import LABELS, Image, Reader
from pneumo_tfds.sources.reading import ReadError
from pneumo_tfds.splits.near_duplicates import thumbnail
from pneumo_tfds.splits.shard_plan import Plan

MAX_SKIPPED_SHARE = 0.05
"""With more unreadable images than this, something is wrong with the source and not with a few files."""


@dataclass(frozen=True)
class ExampleRecord:
    """The record of one image, or the reason why there is none."""

    image: Image
    sha256: str
    """SHA-256 of the file; empty if it could not be read."""
    size: int
    """Bytes of the file."""
    data: bytes | None
    """A serialised `tf.train.Example`; None if the image is skipped."""
    error: str = ""
    unusual: str = ""
    """What is unusual about its grey levels, or that it is in colour."""
    thumbnail: Grey | None = None
    """What `near_groups` compares; None if it is not wanted."""


@dataclass
class BuildLog:
    """What a build read and skipped."""

    skipped: dict[str, str] = field(default_factory=dict)
    """Image name to the reason."""
    sha256: dict[str, str] = field(default_factory=dict)
    """Image name to the SHA-256 of its file."""
    source_bytes: int = 0
    thumbnails: dict[str, Grey] = field(default_factory=dict)
    """Image name to its thumbnail, if these are wanted."""
    unusual: dict[str, str] = field(default_factory=dict)
    """Image name to what is unusual about its grey levels, or that it is in colour."""

    def add(self, record: ExampleRecord) -> None:
        """Log one image."""
        if record.sha256:
            self.sha256[record.image.name] = record.sha256
            self.source_bytes += record.size
        if record.data is None:
            self.skipped[record.image.name] = record.error
        if record.thumbnail is not None:
            self.thumbnails[record.image.name] = record.thumbnail
        if record.unusual:
            self.unusual[record.image.name] = record.unusual

    def check_share(self, total: int) -> None:
        """Raise InputError if more than `MAX_SKIPPED_SHARE` of `total` images were skipped."""
        if len(self.skipped) > MAX_SKIPPED_SHARE * total:
            name = min(self.skipped)
            raise InputError(
                f"{len(self.skipped)} of {counted(total, 'image')} cannot be read, more than {MAX_SKIPPED_SHARE:.0%}; "
                f"correct the source. The first: {self.skipped[name]}"
            )

    def check(self, plan: Plan) -> None:
        """Raise InputError if too many images were skipped, or all images of a class in a split."""
        self.check_share(len(plan.images()))
        for split in plan.shards:
            images = plan.images(split)
            lost = {i.label for i in images} - {i.label for i in images if i.name not in self.skipped}
            if lost:
                raise InputError(f"no {min(lost)} image of the {split} split can be read; correct the source")


def serialise(image: Image, pixels: Grey) -> bytes:
    """Return the record of an image: a serialised `tf.train.Example`, the same bytes in every run.

    Written by hand, because serialising takes much of the time that a build adds to decoding: TFDS's serialiser takes
    200 microseconds for such a record, in random order of the features; this takes 20. A test compares it with
    protobuf's deterministic serialisation of TFDS's example.
    """
    bytes_list, int64_list = 1, 3
    features = {
        b"filename": (bytes_list, image.name.encode()),
        b"image": (bytes_list, pixels.tobytes()),
        b"label": (int64_list, bytes([LABELS.index(image.label)])),
        b"official_split": (bytes_list, image.official_split.encode()),
        b"patient": (bytes_list, image.patient.encode()),
        b"subtype": (bytes_list, image.subtype.encode()),
    }
    entries = (
        wire.field(1, wire.field(1, name) + wire.field(2, wire.field(kind, wire.field(1, value))))
        for name, (kind, value) in features.items()
    )
    return wire.field(1, b"".join(entries))


def process(
    reader: Reader,
    image: Image,
    image_size: int,
    framing: Framing = DEFAULT_FRAMING,
    thumbnails: bool = False,
) -> ExampleRecord:
    """Make the record of one image; if it is damaged or no image, the record holds the reason.

    Raises:
        ReadError: the disk or the network failed, which says nothing about the image.
    """
    digest, size = "", 0
    try:
        data = reader.read(image)
        digest, size = hashlib.sha256(data).hexdigest(), len(data)
        doubts: list[str] = []
        header = read_header(data, image.name)
        # The listing reads headers of files whose names say DICOM; this may be one that is named like a PNG.
        if header.format == "DICOM" and (reason := unfit(read_facts(data, image.name))):
            raise InputError(f"{image.name}: is DICOM, and by its header: {reason}; remove it")
        full = decode_full(data, image.name, cover=image_size, header=header, framing=framing, doubts=doubts)
        pixels = resize(full, image_size, framing)
        small = thumbnail(pixels[:, :, 0]) if thumbnails else None
        exposure = exposure_remark(pixels[:, :, 0] if small is None else small)  # a third of the time on the small one
        colour = colour_of_file(data, header, image.name)  # decodes again, only where the header says three channels
        unusual = "; ".join(filter(None, (colour, exposure, *doubts)))
        return ExampleRecord(image, digest, size, serialise(image, pixels), unusual=unusual, thumbnail=small)
    except ReadError:
        raise
    except InputError as error:
        return ExampleRecord(image, digest, size, None, str(error))


def stream(
    reader: Reader,
    images: Sequence[Image],
    image_size: int,
    workers: int | None,
    framing: Framing = DEFAULT_FRAMING,
    thumbnails: bool = False,
) -> Iterator[ExampleRecord]:
    """Yield the record of each image, in order, made in `workers` threads (None: one per core; 0: in the caller's)."""
    return ordered_map(lambda image: process(reader, image, image_size, framing, thumbnails), images, workers)
