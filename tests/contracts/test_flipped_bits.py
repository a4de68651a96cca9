"""A bit that flips in a file is noticed before the file is used; `reliability.md` lists the files without a digest."""

import random
import shutil
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from bad_inputs_files import PROPS, SIDE, onnx_file
from pneumo_tfds.program.errors import InputError

FLIPS, SEED = 200, 3
FEW = {"keras_model": 10, "records": 24, "journal": 40}


class Variable:
    def __init__(self, shape):
        self.shape, self.value = shape, None

    def assign(self, value):
        self.value = value


def checkpoint(folder):
    from pipeline.run_folder.checkpoint import load, save

    weights = np.arange(3000, dtype=np.float32)
    save(folder, {"network": [weights]}, {"epoch": 3})

    def read():
        variable = Variable((3000,))
        return load(folder, {"network": [variable]}), variable.value.tobytes()

    return folder / "state.npz", read


def golden(folder):
    from export.inference.golden import read, write

    rng = np.random.default_rng(0)
    arrays = {
        "names": np.array(list("abcd")),
        "images": rng.integers(0, 256, (4, SIDE, SIDE, 1), np.uint8),
        "probability": rng.random((4, 1), np.float32),
    }
    write(folder / "golden.npz", arrays)
    return folder / "golden.npz", lambda: {name: each.tobytes() for name, each in read(folder / "golden.npz").items()}


def sealed_model(folder):
    import onnx

    from export.inference.classifier import Classifier
    from export.inference.content_digest import sealed

    path = folder / "model.onnx"
    path.write_bytes(sealed(onnx.load_from_string(onnx_file(PROPS))))
    image = np.full((1, SIDE, SIDE, 1), 100, np.uint8)

    def read():
        model = Classifier(path, threads=1)
        return model.predict(image), model.metadata

    return path, read


def keras_model(folder):
    import keras

    from pipeline.run_folder.model_file import load_model, save_model

    image = keras.Input((8, 8, 1))
    path = folder / "model.keras"
    save_model(path, keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image))))
    pixels = np.ones((1, 8, 8, 1), np.float32)
    return path, lambda: load_model(path)(pixels).numpy().tobytes()


def records(folder):
    from pipeline.data.split import open_splits
    from pneumo_tfds.prepared import prepare

    dataset = prepare(None, SIDE, folder / "data", phantoms=60)

    def read():
        examples = open_splits(dataset)["train"].examples
        return examples.images.tobytes(), examples.labels.tobytes(), examples.filenames.tobytes()

    return next(dataset.glob("*train*")), read


def kept_headers(folder):
    from pneumo_tfds.decode.dicom_header import HeaderFacts
    from pneumo_tfds.sources import header_facts
    from pneumo_tfds.sources.listing import File

    file = File("one.dcm", 1000, modified=5)
    header_facts._keep(folder, {file: HeaderFacts(patient="of one")})
    return header_facts._place(folder), lambda: header_facts._read_kept(folder) or _noticed("read anew")


def journal(folder):
    """What is to be done, and with which bytes. Its reasons and its counts of tries are not among that."""
    from export.dicom_out.dicom_answers import AnswerFile
    from export.watching.watch_journal import ANSWERED, DEAD, LEFT, SEEN, SENT, WatchJournal

    path, states = folder / "watch.sqlite", (SEEN, ANSWERED, SENT, LEFT, DEAD)

    kept = WatchJournal(path, "model", "source")
    with kept.locked():
        keys = [f"image-{number}" for number in range(40)]
        kept.add(keys)
        for number, key in enumerate(keys):
            state = states[number % len(states)]
            if state in (ANSWERED, SENT):
                content = b"DICM" * (2000 if state == ANSWERED else 1)
                kept.answered(key, f"1.2.{number}", "NORMAL", [AnswerFile("report", f"{key}.dcm", content)])
            if state not in (SEEN, ANSWERED):
                kept.end(key, state, "why")

    def read():
        copied = Path(mkdtemp(dir=folder)) / path.name  # opening one writes to it
        shutil.copyfile(path, copied)
        again = WatchJournal(copied, "model", "source")
        with again.locked():
            found = {state: [entry.key for entry in again.entries(state)] for state in states}
            return found, [again.files(key) for key in found[ANSWERED]]

    return path, read


def _noticed(words):
    raise InputError(words)


MADE = {make.__name__: make for make in (checkpoint, golden, sealed_model, kept_headers, journal, records, keras_model)}


def flipped(path, read, flips=FLIPS):
    """Flip a bit at a time, evenly over a file; give how many were noticed and had no effect, and the other places."""
    whole, known, chance = path.read_bytes(), read(), random.Random(SEED)
    noticed, same, other = 0, 0, []
    for number in range(flips):
        place = (number * len(whole) + chance.randrange(len(whole))) // flips
        content = bytearray(whole)
        content[place] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        try:
            if read() == known:
                same += 1
            else:
                other.append(place)
        except InputError:
            noticed += 1
    path.write_bytes(whole)
    assert read() == known
    return noticed, same, other


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in FEW)) for name in MADE])
def test_no_flipped_bit_changes_what_is_read(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, read = MADE[name](tmp_path)
    noticed, same, other = flipped(path, read, FEW.get(name, FLIPS))
    print(f"{name}: {noticed} noticed, {same} of no effect, {len(other)} unnoticed")
    assert other == []
    assert noticed > same
