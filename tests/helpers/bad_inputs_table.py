"""The bad inputs that every command is tried with, as data: `test_bad_inputs.py` runs them, and they are the table of
`docs/reference/bad-inputs.md`, which `python tests/helpers/bad_inputs_table.py` writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import bad_inputs_files as files
import torch_files
from image_files import png
from pneumo_tfds.sources.inventory import LABELS

HERE = Path(__file__)
DOCS = HERE.parents[2] / "docs" / "reference" / "bad-inputs.md"
D = files.DATASET

PHANTOM_TF_CONFIG = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 7}}'


@dataclass(frozen=True)
class Bad:
    """One bad input."""

    name: str
    line: str
    """What is typed after `python -m`."""
    wrong: str
    """What is wrong with it, for people."""
    says: str
    """A part of the one line on standard error; of a counted skip, of what the command prints."""
    make: Callable[[Any], object] = lambda place: None
    """Makes the files."""
    skipped: bool = False
    """The command goes on without the bad file, counts it, and leaves with 0."""


def _taking(*names: str, then: Callable[[Any], object] = lambda place: None) -> Callable[[Any], object]:
    def make(place: Any) -> None:
        place.take(*names)
        then(place)

    return make


def _spoiled(count: int, data: bytes) -> Callable[[Any], object]:
    return _taking("xrays", then=lambda place: place.spoil(count, data))


def _table(text: str | bytes) -> Callable[[Any], object]:
    """A CSV beside two pictures."""

    def make(place: Any) -> None:
        place.images(".", "a.jpeg", "b.jpeg")
        place.write("table.csv", text)

    return make


def _with_reference(answers: str) -> Callable[[Any], object]:
    """A model that can be compared with, and answers."""

    def make(place: Any) -> None:
        place.onnx(reference='{"answers": {"NORMAL": 2}, "probability": {"edges": [0.5], "counts": [1, 1]}}')
        place.write("a.jsonl", answers)

    return make


def _four_way(place: Any) -> None:
    """A model that can say UNSUITABLE, and a folder to watch."""
    place.onnx(certain_normal_below="0.1", certain_pneumonia_from="0.9")
    place.folders("in")


ODD = """@keras.saving.register_keras_serializable()
class Odd(layers.Layer):
    def call(self, x):
        return tensorflow.nn.erosion2d(x, tensorflow.zeros((3, 3, 1)), (1, 1, 1, 1), "SAME", "NHWC", (1, 1, 1, 1))
"""


def _network(channels: str, after: str = "layers.Flatten(), layers.Dense(1)", more: str = "") -> str:
    """A function that makes a network."""
    made = f"keras.Sequential([keras.Input((image_size, image_size, {channels})), {after}])"
    return f"def network(image_size):\n    model = {made}\n    {more}\n    return model\n"


def _own(text: str) -> Callable[[Any], object]:
    """A module with a network of the user, and a dataset to train it on."""
    imports = "import keras, tensorflow; from keras import layers\n"
    return _taking("data", then=lambda place: place.write("own_network.py", imports + text))


def _own_of_another_version(place: Any) -> None:
    place.take("run")
    place.write("own_network.py", "def network(image_size): ...")
    own = {"model": "own_network:network", "module_sha256": "0" * 64}
    place.edit("run/config.json", lambda config: config["model"].update(own))


def _config(change: Callable[[dict[str, Any]], object]) -> Callable[[Any], object]:
    return _taking("run", then=lambda place: place.edit("run/config.json", change))


def _metrics(change: Callable[[dict[str, Any]], object], folder: str = "run") -> Callable[[Any], object]:
    return _taking(folder.split("/")[0], then=lambda place: place.edit(f"{folder}/metrics.json", change))


def _info(change: Callable[[dict[str, Any]], object]) -> Callable[[Any], object]:
    return _taking("data", then=lambda place: place.edit(f"{D}/dataset_info.json", change))


def _record(place: Any) -> str:
    return f"{D}/{sorted(path.name for path in (place.folder / D).glob('*train*tfrecord*'))[0]}"


def _of_another_model(place: Any) -> None:
    from pipeline.run_folder.checkpoint import save

    save(place.folder / "run/checkpoint", {"network": [np.zeros(3, np.float32)]}, {"history": [], "iterations": 0})
    place.remove("run/metrics.json")


def _resumable(checkpoint: bytes) -> Callable[[Any], object]:
    def make(place: Any) -> None:
        place.take("data", "run")
        place.remove("run/metrics.json")
        place.write("run/checkpoint/state.npz", checkpoint)

    return make


def _with_lambda(place: Any) -> None:
    import keras

    image = keras.Input((files.SIDE, files.SIDE, 1), dtype="uint8")
    keras.Model(image, keras.layers.Lambda(lambda x: x)(image)).save(place.folder / "run/model.keras")


def _of_another_contract(place: Any) -> None:
    import keras

    image = keras.Input((files.SIDE, files.SIDE, 3), dtype="uint8")
    keras.Model(image, keras.layers.Flatten()(image)).save(place.folder / "run/model.keras")


def _weights(place: Any) -> None:
    """A PyTorch file of some network, as `torch.save` writes it."""
    torch_files.write_zip(place.folder / "w.pth", {"conv.weight": np.zeros((64, 64), np.float32)})


def _one_class(place: Any) -> None:
    for run in ("one", "two"):
        place.replace(f"runs/{run}/predictions.csv", ",normal,NORMAL,", ",virus,PNEUMONIA,")


def _dicom_without_pixels(place: Any) -> None:
    place.write("x.dcm", bytes(128) + b"DICM" + bytes(90))


def _encrypted(place: Any) -> None:
    place.zipped("x.zip", {"NORMAL/a.jpeg": files.xray(1)})
    content = (place.folder / "x.zip").read_bytes()
    place.write("x.zip", files.patched_zip(content, 6, 8, b"\x01\x00"))


def _declaring_gigabytes(place: Any) -> None:
    place.zipped("x.zip", {"NORMAL/a.jpeg": files.xray(1)})
    content = (place.folder / "x.zip").read_bytes()
    place.write("x.zip", files.patched_zip(content, 22, 24, b"\xff\xff\xff\x7f"))


def _bomb(place: Any) -> None:
    place.zipped("x.zip", {"NORMAL/a.jpeg": bytes(20 << 20)}, compression=8)


def _without_class_folders(place: Any) -> None:
    place.images("xrays", "healthy/a.jpeg", "ill/b.jpeg")


def _two_labels(place: Any) -> None:
    place.take("xrays")
    same = (place.folder / "xrays/train/NORMAL/IM-0001-0001.jpeg").read_bytes()
    place.write("xrays/train/PNEUMONIA/person77_virus_1.jpeg", same)


def _other_source(place: Any) -> None:
    place.take("data")
    place.images("other", *(f"NORMAL/IM-{n:04d}-0001.jpeg" for n in range(6)))
    place.images("other", *(f"PNEUMONIA/person{n}_virus_{n}.jpeg" for n in range(6)))


def _not_one_run_twice(place: Any) -> None:
    place.take("runs")
    text = (place.folder / "runs/two/predictions.csv").read_text()
    place.write("runs/two/predictions.csv", text.replace("3.jpeg", "nine.jpeg"))


def _without_runtime(place: Any) -> None:
    from export.web import server

    place.take("model.onnx")
    place.patch.setattr(server, "RUNTIME", place.folder)


def _taken_port(place: Any) -> None:
    from export.web import server

    place.take("model.onnx")
    place.patch.setattr(server, "RUNTIME", place.folder)
    for name in server.RUNTIME_FILES:
        place.write(name)


BUILD = "pneumo_tfds build --config gray_32 --data-dir data --source"
TRAIN = "pipeline.train --run-dir out --model compact"
ON_DATA_ALONE = f"{TRAIN} --precision float32 --xla off --dataset {D} --image-size 32"
ON_DATA = f"{ON_DATA_ALONE} --batch-size 8"
SMALL = f"--dataset {D} --batch-size 8"
PRETRAINED = f"pipeline.train --run-dir out {SMALL} --image-size 32 --pretrained-weights w.pth"
RESUME = "pipeline.train --run-dir run --resume"
OWN = (
    f"pipeline.train --run-dir out --dataset {D} --image-size 32 --batch-size 8 --precision float32 --xla off "
    "--model own_network"
)
TUNE = f"tuning --run-dir out --model compact --dataset {D} --image-size 32"
EXPORT = "export run --parity-images 8"
ASK = "export.predict model.onnx"
WATCH = "export.watch model.onnx --out out"
DRIFT = "export.drift --model model.onnx"
RECALIBRATE = "export.recalibrate model.onnx --source xrays --out new.onnx"

CASES = (
    # A source of X-rays.
    Bad("source-missing", f"{BUILD} nowhere", "a source that is not there", "nowhere: no such file or folder"),
    Bad("source-name-with-newline", f"{BUILD} 'no\nwhere'", "a name with a line break", "no where: no such file"),
    Bad("source-empty", f"{BUILD} xrays", "an empty folder", "no images found (it is empty)",
        lambda place: place.folders("xrays")),
    Bad("source-no-classes", f"{BUILD} xrays", "no NORMAL and PNEUMONIA folders",
        "no folders NORMAL and PNEUMONIA side by side; the images are in", _without_class_folders),
    Bad("source-one-class", f"{BUILD} xrays", "images of one class only",
        "1 PNEUMONIA image but no NORMAL images",
        lambda place: place.images("xrays", "PNEUMONIA/person1_virus_1.jpeg")),
    Bad("source-few-patients", f"{BUILD} xrays", "one patient of a class",
        "the source has 1 NORMAL patient to divide; add images of more",
        lambda place: place.images("xrays", "NORMAL/IM-1.jpeg", "PNEUMONIA/person1_virus_1.jpeg")),
    Bad("source-text", f"{BUILD} notes.txt", "a text file as source", "neither a folder nor a zip nor a CSV",
        lambda place: place.write("notes.txt", "hello")),
    Bad("source-two-labels", f"{BUILD} xrays", "one picture in both class folders",
        "are the same image with different labels", _two_labels),
    Bad("source-corrupt", f"{BUILD} xrays", "more than 5 % truncated JPEGs", "3 of 48 images cannot be read",
        _spoiled(4, files.xray(1)[:300])),
    Bad("source-one-corrupt", f"{BUILD} xrays", "one truncated JPEG of 48", "skipped: 1 image",
        _spoiled(1, files.xray(1)[:300]), skipped=True),
    Bad("source-too-large", f"{BUILD} xrays", "PNGs that declare 2,500 million pixels", "declares 50000 x 50000 pixels",
        _spoiled(4, png(50_000, 50_000))),
    Bad("source-icons", f"{BUILD} xrays", "images of 8 x 8 pixels", "only 8 x 8 pixels",
        _spoiled(4, cv2.imencode(".png", np.arange(64, dtype=np.uint8).reshape(8, 8))[1].tobytes())),
    Bad("source-blank", f"{BUILD} xrays", "images without a picture", "holds no picture",
        _spoiled(4, cv2.imencode(".jpeg", np.zeros((90, 90), np.uint8))[1].tobytes())),
    Bad("source-files-empty", f"{BUILD} xrays", "empty files", "the file is empty", _spoiled(4, b"")),
    # Archives.
    Bad("zip-cut", f"{BUILD} x.zip", "a zip that was cut off", "cannot be read as a zip archive",
        lambda place: (place.zipped("x.zip", {"NORMAL/a.jpeg": files.xray(1)}), place.cut("x.zip"))),
    Bad("zip-parent", f"{BUILD} x.zip", "a zip with a member ../", "points outside the archive",
        lambda place: place.zipped("x.zip", {"../NORMAL/a.jpeg": b"x"})),
    Bad("zip-absolute", f"{BUILD} x.zip", "a zip with a member from the root", "points outside the archive",
        lambda place: place.zipped("x.zip", {"/etc/NORMAL/a.jpeg": b"x"})),
    Bad("zip-drive", f"{BUILD} x.zip", "a zip with a member on another drive", "points outside the archive",
        lambda place: place.zipped("x.zip", {"C:\\NORMAL\\a.jpeg": b"x"})),
    Bad("zip-bomb", f"{BUILD} x.zip", "a zip bomb", "unpacks to over 100 times its size", _bomb),
    Bad("zip-huge-member", f"{BUILD} x.zip", "a member that declares 2 GB", "declares 2,147,483,647 bytes",
        _declaring_gigabytes),
    Bad("zip-encrypted", f"{BUILD} x.zip", "a zip with a password", "is password-protected", _encrypted),
    Bad("zip-no-images", f"{BUILD} x.zip", "a zip without images", "1 not an image",
        lambda place: place.zipped("x.zip", {"NORMAL/readme.txt": b"x"})),
    # Tables.
    Bad("csv-no-column", f"{BUILD} table.csv", "a CSV without the column label", "needs a first line with the columns",
        _table("path,kind\na.jpeg,NORMAL\n")),
    Bad("csv-label", f"{BUILD} table.csv", "a label that is unknown", "line 3: unknown label 'COVID'",
        _table("path,label\na.jpeg,NORMAL\nb.jpeg,COVID\n")),
    Bad("csv-file-missing", f"{BUILD} table.csv", "a listed file that is not there", "line 2: there is no file",
        _table("path,label\nc.jpeg,NORMAL\n")),
    Bad("csv-twice", f"{BUILD} table.csv", "a file listed twice", "a.jpeg is listed twice",
        _table("path,label\na.jpeg,NORMAL\na.jpeg,PNEUMONIA\n")),
    Bad("csv-split", f"{BUILD} table.csv", "a split that is unknown", "unknown split 'exam'",
        _table("path,label,split\na.jpeg,NORMAL,exam\n")),
    Bad("csv-subtype", f"{BUILD} table.csv", "a subtype that is unknown", "unknown subtype 'fungus'",
        _table("path,label,subtype\na.jpeg,PNEUMONIA,fungus\n")),
    Bad("csv-encoding", f"{BUILD} table.csv", "a CSV in Latin-1", "has a character that is not in UTF-8",
        _table("path,label\nä.jpeg,NORMAL\n".encode("latin-1"))),
    # Where a dataset goes.
    Bad("config-unknown", "pneumo_tfds build --config gray_big --data-dir data --source xrays", "no such config",
        "use gray_SIZE or phantom_SIZE", _taking("xrays")),
    Bad("config-size", "pneumo_tfds build --config gray_8 --data-dir data --source xrays", "a size of 8 pixels",
        "with a SIZE from 16 to 2048", _taking("xrays")),
    Bad("phantoms-of-a-source", "pneumo_tfds build --config phantom_32 --source xrays", "phantoms of a source",
        "leave --source out", _taking("xrays")),
    Bad("phantoms-source-flag", "pneumo_tfds build --config phantom_32 --positive sick",
        "phantoms, and how a source is understood", "--positive is about --source; leave it out"),
    Bad("phantoms-few", "pneumo_tfds build --config phantom_32 --count 5 --data-dir data", "too few phantoms",
        "ask for 60 or more"),
    Bad("no-source", "pneumo_tfds build --config gray_32 --data-dir data", "no source, and none in TFDS's folder",
        "no X-rays in TFDS's manual folder"),
    Bad("fraction", f"{BUILD} xrays --validation-fraction 1.5", "a fraction above 1", "--validation-fraction is 1.5",
        _taking("xrays")),
    Bad("data-dir-is-a-file", f"{BUILD} xrays", "a file where the data folder should be", "cannot write data",
        _taking("xrays", then=lambda place: place.write("data", "a file"))),
    Bad("dataset-of-another-source", f"{BUILD} other", "a dataset of another source in the folder",
        "pass --overwrite or another --data-dir", _other_source),
    Bad("metadata-cut", f"{BUILD} xrays", "a dataset whose metadata.json is cut off", "metadata.json",
        _taking("xrays", "data", then=lambda place: place.cut(f"{D}/metadata.json"))),
    Bad("flag-unknown", f"{BUILD} xrays --sise 3", "a flag that does not exist", "--sise"),
    Bad("command-unknown", "pneumo_tfds bild", "a command that does not exist", "bild"),
    Bad("workers-word", f"{BUILD} xrays --workers many", "a word for a number", "--workers"),
    Bad("workers-negative", f"{BUILD} xrays --workers -1", "fewer threads than none", "--workers", _taking("xrays")),
    # Looking at a source.
    Bad("audit-nothing", "pneumo_tfds audit", "no source to audit", "--source"),
    Bad("audit-corrupt", "pneumo_tfds audit --source xrays", "four corrupt files of 48", "unreadable: 4",
        _spoiled(4, b"no jpeg"), skipped=True),
    Bad("audit-json-is-a-folder", "pneumo_tfds audit --source xrays --json xrays", "a folder where the JSON should go",
        "cannot write xrays", _taking("xrays")),
    Bad("audit-page-below-a-file", "pneumo_tfds audit --source xrays --html notes.txt/page.html",
        "a page below a file", "cannot write notes.txt/page.html",
        _taking("xrays", then=lambda place: place.write("notes.txt", "hello"))),
    Bad("show-out-is-a-file", "pneumo_tfds show --source xrays --out notes.txt", "a file where pictures should go",
        "cannot write notes.txt", _taking("xrays", then=lambda place: place.write("notes.txt", "hello"))),
    Bad("show-source-flag", "pneumo_tfds show --positive sick", "how a source is understood, of no source",
        "--positive is about --source; leave it out, or name the images"),
    Bad("phantoms-out-full", "pneumo_tfds phantoms --out xrays --count 60", "a folder that holds something",
        "is not empty", _taking("xrays")),
    Bad("phantoms-out-is-a-file", "pneumo_tfds phantoms --out notes.txt --count 60", "a file for a folder",
        "cannot write notes.txt", lambda place: place.write("notes.txt", "hello")),
    Bad("phantoms-seed", "pneumo_tfds phantoms --out new --count 60 --seed -1", "a negative seed", "--seed"),
    # Settings of a run.
    Bad("epochs", f"{TRAIN} --epochs 0", "no epochs", "--epochs is 0; it must be from 1"),
    Bad("rate", f"{TRAIN} --learning-rate nan", "a learning rate that is no number", "--learning-rate is nan"),
    Bad("size-for-model", "pipeline.train --run-dir out --image-size 40 --model study",
        "images too small for the network", "at least 46 for --model study"),
    Bad("model-unknown", "pipeline.train --model resnet", "a network that does not exist", "--model"),
    Bad("own-no-module", "pipeline.train --run-dir out --model no_such.networks:network", "a module that is not there",
        "there is no module no_such.networks in this environment"),
    Bad("own-no-function", f"{OWN}:network", "a function that the module lacks", "has no function network; its",
        _own("def other(image_size): ...")),
    Bad("own-no-import", f"{OWN}:network", "a module that cannot be imported",
        "importing own_network failed: NameError: name 'kers' is not defined (line 2 of own_network.py)", _own("kers")),
    Bad("own-no-size", f"{OWN}:network", "a function without image_size", "network takes no argument image_size",
        _own("def network(side): ...")),
    Bad("own-no-dropout", f"{OWN}:network --dropout 0.5", "dropout for a function that takes none",
        "--dropout is 0.5; it must be left out: own_network:network takes no argument dropout", _own(_network("1"))),
    Bad("own-no-argument", f"{OWN}:network --arguments width=3", "an argument that the function does not take",
        "--arguments width: own_network:network takes no such argument", _own(_network("1"))),
    Bad("own-lungs", f"{OWN}:network --crop lungs", "the lungs alone, for a network of one's own",
        "--crop is lungs; it must be auto or none with a network of your own", _own(_network("1"))),
    Bad("own-nothing", f"{OWN}:network", "a function that returns no model", "returns NoneType, not a keras.Model",
        _own("def network(image_size): ...")),
    Bad("own-raises", f"{OWN}:network", "a function that raises",
        "failed: ZeroDivisionError: division by zero (line 2 of own_network.py)", _own("def network(image_size): 1/0")),
    Bad("own-colour", f"{OWN}:network", "a network for colour images", "takes [N, 32, 32, 3], not one batch of grey",
        _own(_network("3"))),
    Bad("own-two", f"{OWN}:network", "a network with two outputs", "gives [N, 2], not one logit [N, 1]",
        _own(_network("1", "layers.Flatten(), layers.Dense(2)"))),
    Bad("own-sigmoid", f"{OWN}:network", "a network that ends in a probability", "ends in sigmoid (layer last)",
        _own(_network("1", "layers.Flatten(), layers.Dense(1, activation='sigmoid', name='last')"))),
    Bad("own-compiled", f"{OWN}:network", "a compiled network", "returns a compiled model; leave compile out",
        _own(_network("1", more="model.compile()"))),
    Bad("own-lambda", f"{OWN}:network", "a network with a Lambda layer", "has the Lambda layer odd, which is code",
        _own(_network("1", "layers.Lambda(abs, name='odd'), layers.Flatten(), layers.Dense(1)"))),
    Bad("own-unregistered", f"{OWN}:network", "a layer that cannot be loaded again", "the layer odd of the class Odd",
        _own(ODD.replace("@keras", "#") + _network("1", "Odd(name='odd'), layers.Flatten(), layers.Dense(1)"))),
    Bad("own-no-onnx", f"{OWN}:network", "a layer that ONNX does not know",
        "cannot be exported: its layer odd computes Dilation2D",
        _own(ODD + _network("1", "Odd(name='odd'), layers.Flatten(), layers.Dense(1)"))),
    Bad("own-gone", "pipeline.evaluate run", "a run whose network's module is not here", "there is no module no_such",
        _config(lambda config: config["model"].update(model="no_such:network"))),
    Bad("own-version", "pipeline.evaluate run", "a run of another version of the module",
        "own_network.py is not the version that the run was made with (SHA-256 ", _own_of_another_version),
    Bad("rule-unknown", f"{TRAIN} --threshold-rule best", "a threshold rule that does not exist",
        "the threshold rule 'best'"),
    Bad("rule-impossible", f"{TRAIN} --threshold-rule 'sensitivity>=2'", "a rule that asks for too much", "asks for 2"),
    Bad("weights-for-compact", f"{TRAIN} --pretrained-weights imagenet", "weights for a network without",
        "--pretrained-weights is imagenet"),
    Bad("weights-missing", "pipeline.train --run-dir out --pretrained-weights none.pth",
        "a weights file that is not there",
        "--pretrained-weights none.pth is not a file"),
    Bad("weights-text", PRETRAINED,
        "a text file as weights", "damaged or not a plain state dict",
        _taking("data", then=lambda place: place.write("w.pth", "hello"))),
    Bad("weights-of-another", PRETRAINED,
        "the weights of another network", "holds no weights of efficientnet_lite0", _taking("data", then=_weights)),
    Bad("weights-cut", PRETRAINED,
        "weights that were cut off", "damaged or not a plain state dict",
        _taking("data", then=lambda place: (_weights(place), place.cut("w.pth")))),
    Bad("address", f"{TRAIN} --data-service somewhere", "an address without a port", "it must be HOST:PORT"),
    Bad("config-missing", "pipeline.train --config none.json", "settings that are not there", "cannot read none.json"),
    Bad("config-is-a-folder", "pipeline.train --config run", "a folder as settings", "cannot read run", _taking("run")),
    Bad("config-cut", "pipeline.train --config run/config.json", "settings that were cut off", "cannot read",
        _taking("run", then=lambda place: place.cut("run/config.json"))),
    Bad("config-unknown-field", "pipeline.train --config run/config.json", "a setting that does not exist",
        "fit.epoch: there is no such setting", _config(lambda value: value["fit"].update(epoch=3))),
    Bad("config-wrong-type", "pipeline.train --config run/config.json", "a word where a number should be",
        "fit.epochs", _config(lambda value: value["fit"].update(epochs="ten"))),
    Bad("config-no-switch", "pipeline.train --config run/config.json", "a word where a switch should be",
        "augment.augment: ", _config(lambda value: value["augment"].update(augment="no"))),
    Bad("config-twice", "pipeline.train --config twice.json", "a group of settings that stands twice",
        "'fit' stands twice in one object",
        lambda place: place.write("twice.json", '{"fit": {"epochs": 9}, "fit": {"seed": 1}}')),
    Bad("config-dataset-gone", "pipeline.train --run-dir out --config data.json", "settings whose dataset is gone",
        "gone holds no built dataset",
        lambda place: place.write("data.json", '{"data": {"dataset": "gone"}}')),
    Bad("config-list", "pipeline.train --config list.json", "a list as settings", "expected an object of settings",
        lambda place: place.write("list.json", "[1]")),
    Bad("config-binary", "pipeline.train --config model.onnx", "a model as settings", "model.onnx",
        _taking("model.onnx")),
    Bad("tf-config", f"{TRAIN}", "TF_CONFIG that is no JSON", "TF_CONFIG cannot be read",
        lambda place: place.environment(TF_CONFIG="{")),
    Bad("tf-config-index", f"{TRAIN}", "TF_CONFIG with a worker that is not in it", "TF_CONFIG has no worker 7",
        lambda place: place.environment(TF_CONFIG=PHANTOM_TF_CONFIG)),
    # A run folder.
    Bad("resume-nothing", "pipeline.train --resume", "--resume without a folder", "--resume needs --run-dir"),
    Bad("resume-empty", "pipeline.train --resume --run-dir out", "a folder without a run", "holds no run to resume"),
    Bad("run-there", "pipeline.train --run-dir run", "a folder that holds a run",
        "already holds a run", _taking("run")),
    Bad("run-dir-is-a-file", "pipeline.train --run-dir notes.txt", "a file as run folder", "notes.txt is a file",
        lambda place: place.write("notes.txt", "hello")),
    Bad("resume-otherwise", f"{RESUME} --epochs 7", "other settings than the run has", "--epochs is 7 and was 1",
        _taking("run")),
    Bad("checkpoint-cut", RESUME, "a checkpoint that was cut off", "state.npz is damaged",
        _resumable(b"PK\x03\x04 and no more")),
    Bad("checkpoint-of-another", RESUME, "a checkpoint of another network", "belongs to another model",
        _taking("data", "run", then=_of_another_model)),
    # The dataset of a run.
    Bad("dataset-missing", f"{TRAIN} --dataset none", "a dataset that is not there", "none holds no built dataset"),
    Bad("dataset-framing", f"{TRAIN} {SMALL} --image-size 32 --framing pad", "a dataset of another framing",
        "made with the framing squeeze, not pad; give --framing squeeze", _taking("data")),
    Bad("dataset-size", f"{TRAIN} {SMALL} --image-size 48", "a dataset of another size",
        "holds images of 32 pixels, not 48", _taking("data")),
    Bad("dataset-version", ON_DATA, "a dataset of another version", "is of version 9.9.9",
        _info(lambda value: value.update(version="9.9.9"))),
    Bad("dataset-other", ON_DATA, "another dataset than ours", "holds the dataset mnist",
        _info(lambda value: value.update(name="mnist"))),
    Bad("dataset-info-cut", ON_DATA, "a dataset_info.json that was cut off", "dataset_info.json",
        _taking("data", then=lambda place: place.cut(f"{D}/dataset_info.json"))),
    Bad("features-cut", ON_DATA, "a features.json that was cut off", "its JSON files cannot be read",
        _taking("data", then=lambda place: place.cut(f"{D}/features.json"))),
    Bad("record-cut", ON_DATA, "a record file that was cut off", "a record is longer than the file",
        _taking("data", then=lambda place: place.cut(_record(place)))),
    Bad("record-missing", ON_DATA, "a record file that is gone", "is damaged or not of 32 pixels",
        _taking("data", then=lambda place: place.remove(_record(place)))),
    Bad("batch-too-large", f"{ON_DATA_ALONE} --batch-size 512", "a batch larger than the split",
        "--batch-size is 512, but train holds 31 images", _taking("data")),
    Bad("devices", f"{ON_DATA} --devices 999", "more devices than there are", "--devices is 999", _taking("data")),
    Bad("hold-out", f"{ON_DATA} --hold-out normal2-im", "a group that no image is in", "--hold-out normal2-im leaves",
        _taking("data")),
    # Judging a run.
    Bad("evaluate-nothing", "pipeline.evaluate none", "a run that is not there", "none is not a run folder"),
    Bad("evaluate-unfinished", "pipeline.evaluate run", "a run without metrics", "finish the run first",
        _taking("run", then=lambda place: place.remove("run/metrics.json"))),
    Bad("metrics-cut", "pipeline.evaluate run", "a metrics.json that was cut off", "cannot read run/metrics.json",
        _taking("run", then=lambda place: place.cut("run/metrics.json"))),
    Bad("metrics-no-point", "pipeline.evaluate run", "a metrics.json without a threshold",
        "lacks a full operating point",
        _metrics(lambda value: value.pop("operating_point"))),
    Bad("model-missing", "pipeline.evaluate run", "a run without a model", "model.keras does not exist",
        _taking("run", then=lambda place: place.remove("run/model.keras"))),
    Bad("model-cut", "pipeline.evaluate run", "a model that was cut off", "cannot be loaded as a Keras model",
        _taking("run", then=lambda place: place.cut("run/model.keras"))),
    Bad("model-with-code", "pipeline.evaluate run", "a model with code in it", "only models without code are loaded",
        _taking("run", then=_with_lambda)),
    Bad("evaluate-no-dataset", "pipeline.evaluate run", "a run whose dataset is gone", "holds no built dataset",
        _taking("run")),
    Bad("evaluate-split", "pipeline.evaluate run --split held_out", "a split that the dataset has not",
        "--split held_out is not in", _taking("run", "data")),
    Bad("evaluate-rule", "pipeline.evaluate run --threshold-rule best", "a threshold rule that is none",
        "the threshold rule 'best' is not one of"),
    Bad("evaluate-decide-elsewhere", "pipeline.evaluate run --source x --threshold-rule youden",
        "a new decision and a source to score", "decide for the whole run"),
    Bad("evaluate-by-own", "pipeline.evaluate run --by age", "groups without a source", "--by is about the images"),
    Bad("predictions-probability", "pipeline.evaluate run", "a probability that is no number",
        "line 2: the probability",
        _taking("run", "data", then=lambda place: place.replace("run/predictions.csv", "0.1\n", "high\n"))),
    # Folds, and wrong labels.
    Bad("train-one-fold", "pipeline.train --folds 1", "one fold", "--folds is 1; it must be from 2 to 20"),
    Bad("train-fold-number", "pipeline.train --folds 3 --fold 4", "a fold beyond the last", "--fold is 4"),
    Bad("train-folds-and-group", "pipeline.train --folds 3 --hold-out im", "folds and a group that is held out",
        "--hold-out is im; it must be none with --folds"),
    Bad("train-trial-folds-hyperband", "pipeline.train --tune --tuner hyperband --trial-folds 5",
        "trials in folds with hyperband", "--trial-folds is 5; it must be 1 with --tuner hyperband"),
    Bad("train-source-flag-alone", "pipeline.train --uncertain positive", "how a source is understood, without one",
        "--uncertain is about --source; leave it out, or name the images"),
    Bad("train-source-flag-built", f"{ON_DATA} --layout nih", "how a source is understood, with a built dataset",
        "--layout has no effect on a built dataset", _taking("data")),
    Bad("train-no-tune", f"{TRAIN} --max-trials 50", "settings of a search, without one",
        "--max-trials has no effect without --tune"),
    Bad("train-no-augment", f"{TRAIN} --no-augment --rotation 90", "a change of images that are not changed",
        "--rotation has no effect with --no-augment"),
    Bad("train-no-subtype-head", f"{TRAIN} --subtype-weight 3", "the weight of a head that is not there",
        "--subtype-weight has no effect without --subtype-head"),
    Bad("train-no-guarantee", f"{TRAIN} --guarantee none --prevalence 0.1", "the prevalence of no guarantee",
        "--prevalence has no effect with --guarantee none"),
    Bad("train-last-seed", f"{TRAIN} --seed 2147483647 --ensemble-size 2", "a seed with none after it, for two",
        "--seed is 2147483647; it must be at most 2147483646 with --ensemble-size 2"),
    Bad("train-corrections-alone", "pipeline.train --corrections suspects.csv", "corrections of no source",
        "--corrections needs --source"),
    Bad("suspects-without-folds", "pipeline.suspects run", "a run without folds", "is no run with folds",
        _taking("run")),
    Bad("suspects-no-run", "pipeline.suspects none", "a run that is not there", "is not a run folder"),
    # Comparing runs.
    Bad("compare-one", "pipeline.compare runs/one", "one run to compare", "give two run folders or more"),
    Bad("compare-same", "pipeline.compare runs/one runs/one", "a run and itself", "is given twice", _taking("runs")),
    Bad("compare-no-predictions", "pipeline.compare runs/one runs/two", "a run without predictions", "predictions.csv",
        _taking("runs", then=lambda place: place.remove("runs/two/predictions.csv"))),
    Bad("compare-column", "pipeline.compare runs/one runs/two", "predictions without a column",
        "lacks the column patient",
        _taking("runs", then=lambda place: place.replace("runs/two/predictions.csv", ",patient,", ",child,"))),
    Bad("compare-images", "pipeline.compare runs/one runs/two", "runs on other images",
        "were scored on different images",
        _not_one_run_twice),
    Bad("compare-one-class", "pipeline.compare runs/one runs/two", "images of one class",
        "two images or more of each class",
        _taking("runs", then=_one_class)),
    Bad("compare-split", "pipeline.compare runs/one runs/two --split train", "a split without predictions",
        "not for train", _taking("runs")),
    Bad("compare-threshold", "pipeline.compare runs/one runs/two", "a threshold that is a word",
        "lacks a full operating point",
        _metrics(lambda value: value["operating_point"].update(threshold="high"), "runs/two")),
    Bad("compare-resamples", "pipeline.compare a b --resamples 5", "too few resamples", "--resamples is 5"),
    Bad("compare-json", "pipeline.compare runs/one runs/two --resamples 100 --json runs", "a folder for the JSON",
        "cannot write runs", _taking("runs")),
    # Experiments.
    Bad("ladder-row", "pipeline.ladder --rows magic", "an experiment that does not exist", "there is no such row"),
    Bad("ladder-seeds", "pipeline.ladder --seeds 0", "no seeds", "--seeds is 0; it must be 1 or more"),
    Bad("ladder-source", "pipeline.ladder --rows base --out out --source none", "a source that is not there",
        "none: no such file or folder"),
    # The machine.
    Bad("doctor-json", "pipeline.doctor --json runs", "a folder for the JSON", "cannot write runs", _taking("runs")),
    Bad("doctor-words", "pipeline.doctor runs/one", "a run that it does not look at", "runs/one", _taking("runs")),
    # Searches.
    Bad("range-order", f"{TUNE} --ranges dropout=0.5:0.1", "a range upside down", "give the smaller number first"),
    Bad("range-words", f"{TUNE} --ranges dropout=low:high", "a range of words", "expected name=low:high"),
    Bad("range-unknown", f"{TUNE} --ranges layers=1:2", "a range of something else", "layers"),
    Bad("space-missing", f"{TUNE} --space none.json", "a space that is not there", "--space none.json"),
    Bad("space-cut", f"{TUNE} --space space.json", "a space that is no JSON", "is not JSON",
        lambda place: place.write("space.json", '{"dropout": [0.1,')),
    Bad("space-twice", f"{TUNE} --space space.json", "a space with a name that stands twice",
        "'dropout' stands twice in one object",
        lambda place: place.write("space.json", '{"dropout": 0.1, "dropout": 0.2}')),
    Bad("range-no-effect", f"{TUNE} --no-augment --ranges augmentation", "a search of changes that are not made",
        "augmentation has no effect with --no-augment"),
    Bad("search-last-seed", f"{TUNE} --seed 2147483647", "a seed with none after it, for confirming",
        "it must be at most 2147483644 with --confirm-seeds 3"),
    Bad("objective", f"{TUNE} --objective beauty", "an objective that does not exist", "beauty"),
    Bad("search-nothing", "tuning --run-dir out --resume", "a folder without a search", "holds no search to resume"),
    Bad("search-cut", "tuning --run-dir run --resume", "a search whose plan was cut off", "search.json",
        _taking("data", "run", then=lambda place: place.write("run/tuner/search.json", '{"settings": '))),
    Bad("search-variables", "tuning --run-dir out", "half of a cluster's variables", "set all three",
        lambda place: place.environment(KERASTUNER_ORACLE_IP="127.0.0.1")),
    Bad("search-port", "tuning --run-dir out", "a port that is a word", "it must be a port number",
        lambda place: place.environment(
            KERASTUNER_ORACLE_IP="127.0.0.1", KERASTUNER_ORACLE_PORT="http", KERASTUNER_TUNER_ID="chief")),
    Bad("search-port-taken", "tuning --run-dir out", "a chief's port that is in use", "the chief cannot listen",
        lambda place: place.environment(
            KERASTUNER_ORACLE_IP="127.0.0.1", KERASTUNER_ORACLE_PORT=str(place.port()), KERASTUNER_TUNER_ID="chief")),
    # Exporting.
    Bad("export-no-int8", f"{EXPORT} --calibration-images 9", "images to calibrate a file that is not asked for",
        "--calibration-images has no effect without --int8"),
    Bad("export-nothing", "export none", "a run that is not there", "none is not a folder"),
    Bad("export-images", "export run --parity-images -1", "fewer images than none", "--parity-images is -1"),
    Bad("export-metrics", EXPORT, "a run without an operating point", "has no operating point",
        _metrics(lambda value: value.pop("operating_point"))),
    Bad("export-threshold", EXPORT, "a threshold above 1", "not one in 0 to 1",
        _metrics(lambda value: value["operating_point"].update(threshold=7))),
    Bad("export-other-model", EXPORT, "a model of colour images", "not [N, S, S, 1] grey images",
        _taking("run", then=_of_another_contract)),
    Bad("export-no-dataset", EXPORT, "a run whose dataset is gone", "the dataset to compare on was not found",
        _taking("run")),
    Bad("export-dataset-is-a-file", f"{EXPORT} --dataset model.onnx", "a file as dataset", "is not a folder",
        _taking("run", "model.onnx")),
    Bad("check-nothing", "export.check run", "a run without ONNX files", "holds no model.onnx", _taking("run")),
    Bad("check-both", "export.check run --source a --dataset b", "two sources of images", "give one of them"),
    Bad("check-cut", "export.check run", "an ONNX file that was cut off", "is not a readable ONNX file",
        _taking("data", "run", then=lambda place: place.write("run/model.onnx", b"\x08\x09 and no more"))),
    # Recalibrating a model.
    Bad("recalibrate-no-model", RECALIBRATE, "a model that is not there", "model.onnx is not a file"),
    Bad("recalibrate-itself", "export.recalibrate model.onnx --source xrays --out ./model.onnx",
        "the model itself as new file", "is an input, which stays as it is", _taking("model.onnx")),
    Bad("recalibrate-rule", f"{RECALIBRATE} --threshold-rule best", "a rule that does not exist",
        "--threshold-rule: the threshold rule 'best' is not one of youden", _taking("model.onnx")),
    Bad("recalibrate-guarantee", f"{RECALIBRATE} --guarantee npv>=2,ppv>=0.9", "a guarantee above 1",
        "asks for a value that is not over 0.5 and below 1", _taking("model.onnx")),
    Bad("recalibrate-one-class", RECALIBRATE, "images of one class only", "no PNEUMONIA images",
        _taking("model.onnx", then=lambda place: place.images("xrays/NORMAL", "a.jpeg", "b.jpeg"))),
    Bad("recalibrate-few", RECALIBRATE, "ten images", "5 patients of one class, too few to recalibrate on",
        _taking("model.onnx", then=lambda place: place.images(
            "xrays", *(f"{label}/{number}.jpeg" for label in LABELS for number in range(5))))),
    Bad("recalibrate-chance", RECALIBRATE, "a model that answers all images alike",
        "may not tell NORMAL from PNEUMONIA on xrays at all (AUROC 0.500", _taking("model.onnx", "xrays")),
    Bad("recalibrate-damaged", RECALIBRATE, "a sixth of the images damaged",
        "8 of 48 images cannot be read, more than 5%",
        _taking("model.onnx", "xrays", then=lambda place: place.spoil(8, b"no image"))),
    # Drift.
    Bad("drift-no-answers", f"{DRIFT} none.jsonl", "answers that are not there", "none.jsonl cannot be read",
        _with_reference('')),
    Bad("drift-csv", f"{DRIFT} a.jsonl", "a CSV of answers", "line 1: not JSON", _with_reference("file,probability")),
    Bad("drift-other-model", f"{DRIFT} a.jsonl", "answers of another model", "at threshold 0.7, but model.onnx answers",
        _with_reference('{"probability": 0.5, "decision": "NORMAL", "threshold": 0.7}')),
    Bad("drift-nothing", f"{DRIFT} a.jsonl", "a file without answers", "has no answer", _with_reference("")),
    Bad("drift-older", f"{DRIFT} a.jsonl", "a model without a reference", "has no reference to compare with",
        _taking("model.onnx")),
    # Asking a model.
    Bad("ask-nothing", ASK, "no image", "no image was given", _taking("model.onnx")),
    Bad("ask-missing", f"{ASK} none.jpeg", "an image that is not there", "none.jpeg does not exist",
        _taking("model.onnx")),
    Bad("ask-no-model", "export.predict none.onnx x.jpeg", "a model that is not there", "none.onnx is not a file"),
    Bad("ask-empty-folder", f"{ASK} empty", "a folder without images", "holds no image",
        _taking("model.onnx", then=lambda place: place.folders("empty"))),
    Bad("onnx-cut", f"{ASK} x.jpeg", "an ONNX file that was cut off", "is not a readable ONNX file",
        _taking("model.onnx", then=lambda place: place.cut("model.onnx"))),
    Bad("onnx-empty", f"{ASK} x.jpeg", "an empty ONNX file", "model.onnx", lambda place: place.write("model.onnx")),
    Bad("onnx-picture", f"{ASK} x.jpeg", "a picture as model", "is not a readable ONNX file",
        lambda place: place.write("model.onnx", files.xray(1))),
    Bad("onnx-foreign", f"{ASK} x.jpeg", "an ONNX file of another project", "not one of this project",
        lambda place: place.write("model.onnx", files.onnx_file({}))),
    Bad("onnx-newer", f"{ASK} x.jpeg", "a file of a newer version", "newer than the 2 this program reads",
        lambda place: place.onnx(version="7")),
    Bad("onnx-no-threshold", f"{ASK} x.jpeg", "metadata without a threshold", "lacks the metadata threshold",
        lambda place: place.onnx(threshold=None)),
    Bad("onnx-classes", f"{ASK} x.jpeg", "a file of other classes", "has the classes",
        lambda place: place.onnx(classes='["CAT", "DOG"]')),
    Bad("onnx-metadata", f"{ASK} x.jpeg", "metadata that cannot be read", "unreadable metadata image_size",
        lambda place: place.onnx(image_size="large")),
    Bad("onnx-framing", f"{ASK} x.jpeg", "a framing that is unknown", "has the framing fisheye, unknown here",
        lambda place: place.onnx(framing="fisheye")),
    Bad("onnx-limits", f"{ASK} x.jpeg", "limits out of order", "has the limits 0.9 and 0.1, not in order",
        lambda place: place.onnx(certain_normal_below="0.9", certain_pneumonia_from="0.1")),
    Bad("onnx-half-limits", f"{ASK} x.jpeg", "one limit of two", "one limit of an answer without the other",
        lambda place: place.onnx(certain_normal_below="0.1")),
    Bad("onnx-familiarity", f"{ASK} x.jpeg", "a limit for a familiarity that it has not", "has other tensors",
        lambda place: place.onnx(certain_normal_below="0.1", certain_pneumonia_from="0.9", familiarity_threshold="1")),
    Bad("onnx-tensors", f"{ASK} x.jpeg", "metadata of another size than the input", "has other tensors",
        lambda place: place.onnx(image_size="64")),
    Bad("onnx-opset", f"{ASK} x.jpeg", "an opset that the runtime does not know", "is not a readable ONNX file",
        lambda place: place.write("model.onnx", files.onnx_file(files.PROPS, opset=99))),
    Bad("onnx-external", f"{ASK} x.jpeg", "weights in a file that is gone", "is not a readable ONNX file",
        lambda place: place.write("model.onnx", files.onnx_file(files.PROPS, external=True))),
    Bad("ask-text", f"{ASK} notes.jpeg", "a text file named .jpeg", "not a JPEG, PNG or DICOM",
        _taking("model.onnx", then=lambda place: place.write("notes.jpeg", "hello"))),
    Bad("ask-dicom", f"{ASK} x.dcm", "a DICOM file without pixels", "the DICOM file holds no pixels",
        _taking("model.onnx", then=_dicom_without_pixels)),
    Bad("ask-some-corrupt", f"{ASK} xrays", "two corrupt images of 48", "2 could not be read",
        _taking("model.onnx", "xrays", then=lambda place: place.spoil(2, b"no jpeg")), skipped=True),
    Bad("ask-zip-bomb", f"{ASK} x.zip", "a zip bomb", "unpacks to over 100 times its size",
        _taking("model.onnx", then=_bomb)),
    Bad("ask-batch", f"{ASK} x.jpeg --batch-size 0", "a batch of no images", "--batch-size is 0"),
    Bad("ask-threads", f"{ASK} x.jpeg --threads -1", "fewer threads than none", "--threads is -1",
        _taking("model.onnx")),
    Bad("ask-threshold", f"{ASK} x.jpeg --threshold 7", "a threshold above 1", "--threshold is 7.0",
        _taking("model.onnx")),
    Bad("ask-heatmap", f"{ASK} x.jpeg --heatmap maps", "heat maps of a model without", "has no heat map",
        _taking("model.onnx")),
    Bad("ask-dicom-out", f"{ASK} x.dcm --dicom-out out", "DICOM answers of a model that knows two answers only",
        "decides NORMAL or PNEUMONIA whatever the image is", _taking("model.onnx")),
    Bad("ask-same-output", f"{ASK} xrays --json out --csv out", "one file for two outputs",
        "--json and --csv both name",
        _taking("model.onnx", "xrays")),
    Bad("ask-both-standard", f"{ASK} xrays --json - --csv -", "standard output for two outputs",
        "both ask for standard output", _taking("model.onnx", "xrays")),
    Bad("ask-csv-below-a-file", f"{ASK} xrays --csv model.onnx/out.csv", "a table below a file", "cannot write",
        _taking("model.onnx", "xrays")),
    Bad("watch-two-answers", f"{WATCH} --source in", "a model that knows two answers only",
        "decides NORMAL or PNEUMONIA whatever the image is", _taking("model.onnx")),
    Bad("watch-source", f"{WATCH} --source none", "a folder that is not there", "none is not a folder", _four_way),
    Bad("watch-no-target", "export.watch model.onnx --source in", "a folder without a place for answers",
        "say with --out where the answers go to", _four_way),
    Bad("watch-journal", f"{WATCH} --source in --journal model.onnx", "a journal that is none",
        "is damaged or not a journal", _four_way),
    Bad("watch-every", f"{WATCH} --source in --every 0", "no time between two looks", "--every is 0.0"),
    Bad("golden-missing", f"{ASK} --golden none.npz", "a golden file that is not there", "cannot read none.npz",
        _taking("model.onnx")),
    Bad("golden-cut", f"{ASK} --golden golden.npz", "a golden file that was cut off", "golden.npz is damaged",
        _taking("model.onnx", "golden.npz", then=lambda place: place.cut("golden.npz"))),
    Bad("golden-of-another", f"{ASK} --golden golden.npz", "the golden file of another model",
        "the probability differs",
        _taking("model.onnx", "golden.npz")),
    # Serving a model.
    Bad("serve-no-model", "export.serve none.onnx", "a model that is not there", "none.onnx is not a file"),
    Bad("serve-port", "export.serve model.onnx --port 0", "a port that is none", "--port is 0; it must be from 1",
        _taking("model.onnx")),
    Bad("serve-port-taken", "export.serve model.onnx --port PORT", "a port that is in use",
        "--port PORT cannot be used",
        _taking("model.onnx")),
    Bad("serve-host", "export.serve model.onnx --host 192.0.2.1", "an address of another machine",
        "--host 192.0.2.1", _taking("model.onnx")),
    Bad("serve-same-name", "export.serve model.onnx ./model.onnx", "two models of one name",
        "would both be named model; name them, as in first=model.onnx", _taking("model.onnx")),
    Bad("serve-triton-taken", "export.serve run=model.onnx --triton-repository .", "a folder for Triton that is there",
        "run exists already; remove it", _taking("model.onnx", "run")),
    Bad("serve-upload", "export.serve model.onnx --max-megabytes 0", "uploads of no size", "--max-megabytes is 0"),
    Bad("web-no-runtime", "export.web model.onnx", "no onnxruntime-web", "needs onnxruntime-web", _without_runtime),
    Bad("web-port-taken", "export.web model.onnx --port PORT", "a port that is in use", "--port PORT cannot be used",
        _taken_port),
    Bad("web-golden", "export.web model.onnx --golden none.npz", "a golden file that is not there",
        "cannot read none.npz", _taking("model.onnx")),
    # Measuring.
    Bad("bench-chart", "benchmarks --chart speed.txt", "a chart as text", "use .png, .svg or .pdf"),
    Bad("bench-threads", "benchmarks --threads -1", "fewer threads than none", "--threads is -1"),
    Bad("bench-stage", "benchmarks paint", "a stage that does not exist", "paint"),
    Bad("bench-source", "benchmarks build --quick --source none", "a source that is not there",
        "none: no such file or folder"),
)  # fmt: skip

TITLE = """# Bad inputs

What is tried with every command: each of these is one line on standard error and exit code 2, with nothing written and
nothing that was there changed; or, where the table says so, the bad file is left out and counted. In the messages,
`PORT` is the port that was taken. Written by `python tests/helpers/bad_inputs_table.py`; a test
(`tests/contracts/test_bad_inputs.py`) runs every row, and another holds that this page shows what is run.
"""


def markdown() -> str:
    """Give the page."""
    parts = [TITLE, f"{len(CASES)} bad inputs, {sum(case.skipped for case in CASES)} of them counted skips.\n"]
    by_command = sorted(CASES, key=lambda case: _command(case))
    for command, cases in groupby(by_command, key=_command):
        parts.append(f"## `python -m {command}`\n\n| what is wrong | what is said |\n|---|---|")
        parts.extend(
            f"| {case.wrong} | {'counted: ' if case.skipped else ''}`{case.says.replace('|', chr(92) + '|')}` |"
            for case in cases
        )
        parts.append("")
    return "\n".join(parts)


def _command(case: Bad) -> str:
    module, word = case.line.split()[:2]
    return f"{module} {word}" if module == "pneumo_tfds" and case.name != "command-unknown" else module


if __name__ == "__main__":
    DOCS.write_text(markdown(), encoding="utf-8")
    print(json.dumps({"file": str(DOCS.relative_to(HERE.parents[2])), "bad inputs": len(CASES)}))
