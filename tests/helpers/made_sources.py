"""Sources of tiny made-up files, and what is understood of them."""

from collections import Counter
from itertools import count
from pathlib import Path

from image_files import dicom, jpeg, picture
from pneumo_tfds.sources.opening import understand
from pneumo_tfds.sources.source_options import SourceOptions

_PICTURE, _PLAIN = jpeg(picture(0)), picture(0)
_numbers = count()


def an_image():
    """The bytes of a JPEG, different at each call."""
    return _PICTURE + str(next(_numbers)).encode()


def header(patient="", **tags):
    """The bytes of a DICOM file whose header says so; `Modality="CT"` and the like are other tags."""
    study = f"1.2.826.0.1.3680043.8.{next(_numbers)}"
    tags = {"PatientID": patient, "Modality": "DX", "StudyInstanceUID": study, **tags}
    return dicom(_PLAIN, **tags)


def files(pattern, *ranges):
    """Names made from a pattern such as `NORMAL/p{}/{}.png` by all combinations of the ranges."""
    names = [pattern]
    for values in ranges:
        names = [name.replace("{}", str(value), 1) for name in names for value in values]
    return names


def write(root: Path, content):
    """Write files: names alone get a JPEG, a dictionary has the bytes or text of each."""
    content = content if isinstance(content, dict) else dict.fromkeys(content)
    for name, data in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = an_image() if data is None else data
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return root


def csv_of(head, *rows):
    return "\n".join([head, *rows]) + "\n"


def understood(root: Path, content, source="", **options):
    """Write files below `root` and return what is understood of them."""
    return understand(write(root, content) / source, SourceOptions(**options))


def labels(source):
    return dict(Counter(image.label for image in source.images))


def splits(source):
    return dict(Counter(image.official_split for image in source.images))


def patients(source):
    """Sets of the names of images that are of one patient."""
    groups = {}
    for image in source.images:
        groups.setdefault(image.patient, set()).add(image.name)
    return sorted(map(sorted, groups.values()))
