"""Inverted images are among the unusual ones of an audit and of a build, or a build says that it did not look."""

from __future__ import annotations

import cv2

from pneumo_tfds.audit.audit import audit
from pneumo_tfds.audit.report import report
from pneumo_tfds.phantoms.phantom_source import write_phantoms
from pneumo_tfds.prepared import build
from pneumo_tfds.sources.opening import open_source
from pneumo_tfds.writing.build_summary import summary


def test_inverted_images_of_one_class_are_named(tmp_path):
    folder = tmp_path / "phantoms"
    write_phantoms(folder, 60)
    assert not report(audit(open_source(folder)))["unusual"]
    inverted = sorted(folder.glob("*/NORMAL/*.jpeg"))[:8]
    for path in inverted:
        cv2.imwrite(str(path), 255 - cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    names = {path.relative_to(folder).as_posix() for path in inverted}
    source = open_source(folder)
    listed = report(audit(source))["unusual"]
    assert listed.keys() == names
    assert all("inverted against 52 images of the source" in "".join(texts) for texts in listed.values())
    built = build(source, "gray_96", tmp_path / "data")
    assert built.metadata["unusual"].keys() == names
    assert any("inverted against 52 images of the source" in line for line in summary(built))
    small = build(source, "gray_32", tmp_path / "data")
    assert not small.metadata["unusual"]
    assert any(line.startswith("inverted images, and near-identical") for line in summary(small))
