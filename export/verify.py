"""`python -m export.verify MODEL.onnx`: check a model file's digest, and print what it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from export.inference.signature import SUFFIX, SignatureOption
from pneumo_tfds.program.command import Command, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import sha256_of
from pneumo_tfds.program.wording import counted

if TYPE_CHECKING:
    from export.inference.content_digest import Content
    from export.inference.onnx_metadata import Metadata

UNKNOWN = "not recorded"


@dataclass(frozen=True, kw_only=True)
class Verify(SignatureOption, Command):
    """Check that a model file is as it was exported, and print what it was made from. The exit code is 2 if it is not.

    Of files that it was made from, those that lie beside it, or are given with --parent, are checked too.
    """

    model: Annotated[Path, tyro.conf.Positional]
    """The .onnx file."""
    allow_no_digest: bool = False
    """Accept a file without a digest, which cannot be checked: one of an earlier version."""
    parent: tuple[Path, ...] = ()
    """Files that it must have been made from, such as the float32 file of an int8 one, if they lie elsewhere."""


def verify(command: Verify) -> None:
    """Print a block of lines for the file, and for every file it was made from as far as they are here.

    Raises:
        InputError: a file is damaged, its signature is not the one required, it was not made from a `parent`, or it has
            neither digest nor required signature and was not allowed to.
    """
    command.check_signature(command.model)
    candidates = {**dict(_beside(command.model)), **{_sha256(path): path for path in command.parent}}
    unused, place = set(command.parent), command.model
    seen: set[str] = set()
    while True:
        metadata, content = opened(place)
        signed = f"right, by {command.require_signature}" if command.require_signature and not seen else None
        told = lines(place, metadata, content, signed)
        print(f"{place}\n" + "\n".join(f"  {name:<14}{text}" for name, text in told))
        checked = content.has_digest or bool(seen or signed)  # a parent by its SHA-256
        if not checked and not command.allow_no_digest:
            raise InputError(
                f"{place} was not checked: it has no digest; give --allow-no-digest if it is of an earlier version, "
                "or --require-signature"
            )
        seen.add(content.sha256)
        parent = metadata.parent_sha256
        unused.discard(place)
        if not parent or parent in seen:
            break
        if parent not in candidates:
            print("the file that it was made from is not here; give it with --parent")
            break
        place = candidates[parent]
    if unused:
        wrong = ", ".join(map(str, sorted(unused)))
        raise InputError(f"{command.model} was not made from {wrong}; its parents are named above by their SHA-256")


def opened(path: Path) -> tuple[Metadata, Content]:
    """Return the metadata of a file of this project, of any kind, and what its bytes say of it.

    Raises:
        ModelFileError: the file is missing or damaged, or of another project.
    """
    from export.inference import content_digest
    from export.inference.inference_session import open_session
    from export.inference.onnx_metadata import Metadata

    content = content_digest.read_content(path)
    props = dict(open_session(path, threads=1).get_modelmeta().custom_metadata_map)
    content_digest.check_place(props, path, is_last=content.has_digest)
    return Metadata.from_props(props, str(path)), content


def lines(path: Path, found: Metadata, content: Content, signed: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield what an opened file says of its origin, as pairs of a name and a text."""
    yield "file", f"SHA-256 {content.sha256}, {path.stat().st_size / 1e6:.2f} MB"
    if content.has_digest:
        yield "content", "as exported: weights, graph and metadata are those of its digest"
    else:
        yield "content", "not checked: it has no digest, as files of earlier versions; export its run again for one"
    there = path.with_name(path.name + SUFFIX).is_file()
    yield "signature", signed or ("not checked; give --require-signature KEY" if there else "none")
    yield "made from", f"the file with SHA-256 {found.parent_sha256}" if found.parent_sha256 else "a run, in float32"
    yield "made with", found.made_with or UNKNOWN
    weights = found.pretrained_weights or {}
    known = (weights.get("name", UNKNOWN), weights.get("license"), _hash(weights.get("sha256")))
    yield "started from", ", ".join(str(part) for part in known if part)
    manifest = _hash(found.training_manifest_sha256) or f"manifest {UNKNOWN}"
    yield "trained on", f"{found.dataset} {found.dataset_version}, {manifest}"
    yield "threshold", f"{found.threshold:g}, by {found.threshold_rule}"
    if found.four_way:
        low, high = found.certain_normal_below, found.certain_pneumonia_from
        yield "limits", f"NORMAL below {low:g}, PNEUMONIA from {high:g}; guarantee: {found.guarantee or UNKNOWN}"
    for entry in found.recalibrated:
        images, source = counted(int(entry.get("images", 0)), "image"), entry.get("source", UNKNOWN)
        yield "recalibrated", f"on {images} of {source}, {_hash(entry.get('images_sha256'))}"
    yield "for", found.intended_use


def _beside(model: Path) -> Iterator[tuple[str, Path]]:
    """Yield SHA-256 and path of each file beside a model that it may have been made from, as far as they are read."""
    for path in model.parent.glob("*.onnx"):
        with suppress(OSError):
            if path.is_file():
                yield sha256_of(path), path


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read; give an .onnx file") from error


def _hash(digest: object) -> str:
    return f"SHA-256 {digest}" if digest else ""


if __name__ == "__main__":
    run(Verify, verify, prog="python -m export.verify")
