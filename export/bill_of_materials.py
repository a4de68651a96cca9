"""A CycloneDX bill of materials of a run: its exported files, what they were made from, and the packages installed.

The form is CycloneDX 1.6 in JSON (https://cyclonedx.org/docs/1.6/json/), which tools for licences and known
vulnerabilities read. Equal runs in equal environments give equal bytes: there is no date and no random identity.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pneumo_tfds
from export.inference.classifier import Classifier
from export.inference.onnx_metadata import Metadata
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, sha256_of, write_json
from pneumo_tfds.program.wording import quoted

LONGEST_NAME = 80  # characters; some packages have the whole text of a licence where its name belongs


def write_bill_of_materials(run: RunFolder) -> Path:
    """Write `bom.cdx.json` of an exported run, and return its path.

    Raises:
        InputError: the run was not exported, or one of its files is damaged.
    """
    if not run.onnx.is_file():
        raise InputError(f"{run.onnx} is not there; export the run first: python -m export {quoted(run.path)}")
    metadata = Classifier(run.onnx, threads=1).metadata
    every = (run.onnx, run.onnx_fp16, run.onnx_int8, run.onnx_any_size)
    files = [_exported(path) for path in every if path.is_file()]
    made_of = [*_origin(metadata), *packages()]
    write_json(
        run.bill_of_materials,
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "component": files[0],
                "tools": {
                    "components": [{"type": "application", "name": "pneumo", "version": pneumo_tfds.__version__}]
                },
            },
            "components": [*files[1:], *made_of],
            "dependencies": [
                {"ref": run.onnx.name, "dependsOn": [part["bom-ref"] for part in made_of]},
                *({"ref": other["bom-ref"], "dependsOn": [run.onnx.name]} for other in files[1:]),
            ],
        },
    )
    return run.bill_of_materials


def with_hashes(run: RunFolder, contents: Mapping[Path, bytes]) -> bytes:
    """Return the bill of materials that is there, with the hashes of other contents of its files.

    Raises:
        InputError: it is damaged.
    """
    bill = run.read_json(run.bill_of_materials)
    new = {path.name: _hashes(hashlib.sha256(content).hexdigest()) for path, content in contents.items()}
    try:
        for part in (bill["metadata"]["component"], *bill["components"]):
            part.update({"hashes": new[part["bom-ref"]]} if part["bom-ref"] in new else {})
    except JSON_SHAPE_ERRORS as error:
        raise InputError(f"{run.bill_of_materials} is damaged; remove it, or export again with --sbom") from error
    return (json.dumps(bill, indent=2, allow_nan=False) + "\n").encode()


def _exported(path: Path) -> dict[str, Any]:
    hashes = _hashes(sha256_of(path))
    return {"type": "machine-learning-model", "bom-ref": path.name, "name": path.name, "hashes": hashes}


def _origin(metadata: Metadata) -> Iterator[dict[str, Any]]:
    """Yield the pretrained weights and the training images, as far as they are recorded."""
    weights = metadata.pretrained_weights or {}
    if "license" in weights:
        known = {"licenses": [{"license": {"name": weights["license"]}}], "hashes": _hashes(weights.get("sha256"))}
        kind, name = "machine-learning-model", str(weights["name"])
        yield {"type": kind, "bom-ref": "pretrained weights", "name": name, **_present(known)}
    known = {"version": metadata.dataset_version, "hashes": _hashes(metadata.training_manifest_sha256)}
    contents = [{"type": "dataset", "name": metadata.dataset}]
    yield {"type": "data", "bom-ref": "training images", "name": metadata.dataset, **_present(known), "data": contents}


def packages() -> Iterator[dict[str, Any]]:
    """Yield the installed Python packages by name; of several with one name the first, which is the one imported."""
    found: dict[str, dict[str, Any]] = {}
    for package in distributions():
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"] or "").lower()
        if name and name not in found:
            purl = f"pkg:pypi/{name}@{package.version}"
            known = {"version": package.version, "purl": purl, "licenses": _licenses(package.metadata.json)}
            found[name] = {"type": "library", "bom-ref": purl, "name": name, **_present(known)}
    yield from (found[name] for name in sorted(found))


def _licenses(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a package says of its licence: an SPDX expression, else classifiers, else a short name."""
    if expression := metadata.get("license_expression"):
        return [{"expression": expression}]
    classifiers = [line for line in metadata.get("classifier", ()) if line.startswith("License :: ")]
    names = [line.rpartition(" :: ")[2] for line in classifiers if not line.endswith(":: OSI Approved")]
    given = str(metadata.get("license") or "").strip()
    if not names and given not in ("", "UNKNOWN") and len(given) <= LONGEST_NAME and given.isprintable():
        names = [given]
    return [{"license": {"name": name}} for name in names]


def _hashes(digest: str | None) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}] if digest else []


def _present(known: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in known.items() if value}
