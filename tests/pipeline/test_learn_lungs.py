"""Training of the network that finds lungs: what it reads and what it writes."""

import cv2
import numpy as np
import pytest

from pipeline.learn_lungs import LearnLungs, main
from pipeline.networks import lungs
from pneumo_tfds.phantoms.drawing import render
from pneumo_tfds.program.errors import InputError

HEAD = "path,left,top,right,bottom"


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """A CSV file with the boxes of twelve drawn chests."""
    folder = tmp_path_factory.mktemp("chests")
    names = [f"{number}.png" for number in range(12)]
    for name in names:
        cv2.imwrite(str(folder / name), render(0, name, name, "normal"))
    rows = [f"{name},0.1,0.1,0.9,0.8" for name in names]
    (folder / "boxes.csv").write_text("\n".join((HEAD, *rows)))
    return folder / "boxes.csv"


@pytest.mark.slow
def test_the_weights_it_writes_are_those_that_networks_read(boxes, tmp_path, monkeypatch, capsys):
    ours = [[part.shape for part in layer] for layer in lungs._trained()]
    main(LearnLungs(boxes=boxes, out=tmp_path / "own.npz", epochs=1))
    assert "on 1 others" in capsys.readouterr().out
    monkeypatch.setattr(lungs, "WEIGHTS", tmp_path / "own.npz")
    written = lungs._trained.__wrapped__()  # not from its cache
    assert [[part.shape for part in layer] for layer in written] == ours
    assert all(np.isfinite(part).all() for layer in written for part in layer)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,left,top,right\na.png,0,0,1", "has no column bottom"),
        (f"{HEAD}\na.png,0,0,1,all", "no number"),
        (f"{HEAD}\na.png,0.5,0,0.2,1", "a.png is not from 0 to 1"),
        (HEAD, "0 boxes"),
    ],
)
def test_a_table_that_holds_no_boxes_is_refused(tmp_path, text, words):
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        main(LearnLungs(boxes=tmp_path / "boxes.csv", out=tmp_path / "own.npz"))
    assert not (tmp_path / "own.npz").exists()


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        main(LearnLungs(boxes=tmp_path / "none.csv", out=tmp_path / "own.npz"))


def test_the_table_of_boxes_is_not_replaced_by_the_weights(boxes):
    before = boxes.read_bytes()
    with pytest.raises(InputError, match="is an input"):
        main(LearnLungs(boxes=boxes, out=boxes))
    assert boxes.read_bytes() == before
