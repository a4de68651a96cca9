"""Carry a new decision into the exported files of a run: into their metadata alone, without converting again."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from export.bill_of_materials import with_hashes
from export.inference import golden
from export.inference.content_digest import sealed
from export.inference.decision import decide
from export.inference.onnx_metadata import Metadata, of_smaller_file
from export.inference.picture_input import of_any_size_file
from export.inference.signature import tell_if_unsigned
from export.run_metadata import run_metadata, with_brightness
from pipeline.run_folder.folder import RunFolder
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import quoted

COUNTED_AT_THE_LIMITS = ("decision_flips", "answer_flips")
"""Entries of parity.json that hold for the limits of the export alone."""


def with_decision(run: RunFolder, metrics: Mapping[str, Any]) -> dict[Path, bytes]:
    """Return the new content of a run's exported files, none of which is written, for other limits of the answers.

    The graphs, and calibration and familiarity in them, stay. `model.onnx` becomes what `python -m export` would write,
    byte for byte. `golden.npz` gets other decisions, `parity.json` loses its counts of changed decisions, and
    `bom.cdx.json` gets other hashes. Signatures stay, and it is said that they no longer fit.

    Args:
        run: its folder; files that were not exported are left out.
        metrics: the new content of `metrics.json`.

    Raises:
        InputError: a file is damaged, or is none of this project.
    """
    contents: dict[Path, bytes] = {}
    for path in (run.onnx, run.onnx_fp16, run.onnx_int8, run.onnx_any_size):
        if not path.exists():
            continue
        try:
            model = onnx.load(path)
        except DecodeError as error:
            raise InputError(f"{path} is not a readable ONNX file; export the run again") from error
        props = {entry.key: entry.value for entry in model.metadata_props}
        old = Metadata.from_props(props, path.name)
        new = replace(run_metadata(run, metrics, old.image_size), made_with=old.made_with)
        new = with_brightness(new, (old.reference or {}).get("brightness"))
        outputs = {output.name for output in model.graph.output}
        if new.familiarity_threshold is not None and "familiarity" not in outputs:
            remedy = f"export the run first: python -m export {quoted(run.path)}"
            raise InputError(f"{path} is of an earlier version and has no familiarity; {remedy}")
        earlier, props = props, new.to_props()
        if path != run.onnx:
            float32 = contents.get(run.onnx)
            parent = hashlib.sha256(float32).hexdigest() if float32 else old.parent_sha256
            any_size = path == run.onnx_any_size
            props = of_any_size_file(props, parent) if any_size else of_smaller_file(props, parent, earlier)
        onnx.helper.set_model_props(model, dict(sorted(props.items())))
        contents[path] = sealed(model)
        if contents[path] != path.read_bytes():
            tell_if_unsigned(path)
        if path == run.onnx and run.golden.exists():
            arrays = golden.read(run.golden)
            decisions = np.array([decide(new.limits, *row)[0] for row in golden.rows(arrays)])
            file = io.BytesIO()
            np.savez_compressed(file, allow_pickle=False, **{**arrays, "decision": decisions})
            contents[run.golden] = file.getvalue()
    if contents and run.parity.exists():
        parity = run.read_json(run.parity)
        for report in parity.get("files", {}).values():
            report.update({count: None for count in COUNTED_AT_THE_LIMITS if count in report})
        contents[run.parity] = (json.dumps(parity, indent=2, allow_nan=False) + "\n").encode()
    if contents and run.bill_of_materials.exists():
        contents[run.bill_of_materials] = with_hashes(run, contents)
    return contents
