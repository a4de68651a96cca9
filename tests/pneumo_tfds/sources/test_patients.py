"""Who is on an X-ray, from its name."""

from __future__ import annotations

import pytest

from pneumo_tfds.sources.patients import identify


@pytest.mark.parametrize(
    ("name", "label", "patient", "subtype"),
    [
        ("train/PNEUMONIA/person12_bacteria_46.jpeg", "PNEUMONIA", "person12", "bacteria"),
        ("train/PNEUMONIA/person12_virus_46.jpeg", "PNEUMONIA", "person12", "virus"),
        ("train/PNEUMONIA/person1372_virus_2365_1.jpeg", "PNEUMONIA", "person1372", "virus"),
        ("IM-0115-0001.jpeg", "NORMAL", "IM-115", "normal"),
        ("IM-0115-0001-0002.jpeg", "NORMAL", "IM-115", "normal"),
        ("NORMAL2-IM-0115-0001.jpeg", "NORMAL", "NORMAL2-IM-115", "normal"),
        ("BACTERIA-1008087-0001.jpeg", "PNEUMONIA", "patient1008087", "bacteria"),
        ("NORMAL-1008087-0003.jpeg", "NORMAL", "patient1008087", "normal"),
        ("PERSON7_VIRUS_3.JPG", "PNEUMONIA", "person7", "virus"),
        ("scan.png", "PNEUMONIA", "file:scan.png", "unknown"),
        ("scan.png", "NORMAL", "file:scan.png", "normal"),
    ],
)
def test_names(name, label, patient, subtype):
    assert identify(name, label) == (patient, subtype)
