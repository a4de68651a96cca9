"""What the bad inputs of `bad_inputs_table.py` are made from: good things, made once, and ways to spoil them."""

from __future__ import annotations

import json
import shutil
import socket
import zipfile
from pathlib import Path

import numpy as np

from image_files import jpeg, picture

SIDE = 32
DATASET = f"data/pneumo_tfds/gray_{SIDE}/1.1.0"
PROPS = {
    "classes": '["NORMAL", "PNEUMONIA"]', "image_size": str(SIDE), "resize": "area", "threshold": "0.5",
    "threshold_rule": "youden", "dataset": "phantom_32", "dataset_version": "1.1.0", "metrics": "{}",
    "intended_use": "research only", "version": "1",
}  # fmt: skip
POINT = {"threshold": 0.5, "rule": "youden", "chosen_on": "validation", "sensitivity": 1.0, "specificity": 1.0}


class Place:
    """A folder of one test, the process's working folder, and the good things that may be copied into it."""

    def __init__(self, folder, stock, patch):
        self.folder, self.stock, self.patch, self.sockets = folder, stock, patch, []

    def take(self, *names):
        """Copy `xrays`, `data`, `run`, `model.onnx`, `golden.npz` or `runs` (two runs that can be compared)."""
        for name in names:
            source = self.stock(name)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.folder / name)

    def write(self, name, content=b""):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def folders(self, *names):
        for name in names:
            (self.folder / name).mkdir(parents=True)

    def cut(self, name, share=0.5):
        """Keep the first part of a file."""
        path = self.folder / name
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    def remove(self, name):
        path = self.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def edit(self, name, change):
        """Change the JSON in a file."""
        path = self.folder / name
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    def replace(self, name, before, after):
        """Change the text in a file."""
        path = self.folder / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    def images(self, folder, *names, data=None):
        """Write a picture of its own, or `data`, for each name below a folder."""
        for number, name in enumerate(names):
            self.write(Path(folder, name), xray(number) if data is None else data)

    def zipped(self, name, members, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(self.folder / name, "w", compression) as archive:
            for member, content in members.items():
                archive.writestr(member, content)

    def spoil(self, count, data):
        """Give that many of the X-rays another content."""
        for path in sorted((self.folder / "xrays" / "train").rglob("*.jpeg"))[:count]:
            path.write_bytes(data)

    def port(self):
        """Listen on a port, so that nobody else can; it is in the command line as PORT."""
        self.sockets.append(socket.create_server(("127.0.0.1", 0)))
        return self.sockets[-1].getsockname()[1]

    def environment(self, **variables):
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def onnx(self, **props):
        """Write model.onnx with other metadata; None leaves one out."""
        known = {name: value for name, value in (PROPS | props).items() if value is not None}
        self.write("model.onnx", onnx_file(known))

    def close(self):
        for each in self.sockets:
            each.close()


def xray(seed):
    return jpeg(picture(seed))


def patched_zip(content, local, central, value):
    """A zip whose first member's headers have another 16- or 32-bit field, at these offsets."""
    for magic, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = content.index(magic) + offset
        content = content[:at] + value + content[at + len(value) :]
    return content


def onnx_file(props, opset=18, external=False, side=SIDE):
    """A model that keeps our contract, as small as can be; `external`: its weight is in a file that is not there."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from export.inference.content_digest import sealed

    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", side, side, 1])
    answer = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 1])
    weight = numpy_helper.from_array(np.ones((side * side, 1), np.float32) / 1000, "weight")
    if external:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="weights.bin")
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    graph = helper.make_graph(nodes, "tiny", [image], [answer], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.helper.set_model_props(model, props)
    return sealed(model)


class Stock:
    """The good things, each made when it is first asked for."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        path = self.folder / name
        if not path.exists():
            getattr(self, "_" + name.replace(".", "_"))(path)
        return path

    def _xrays(self, folder):
        names = [f"train/NORMAL/IM-{number:04d}-0001.jpeg" for number in range(1, 21)]
        names += [f"train/PNEUMONIA/person{number}_virus_{number}.jpeg" for number in range(1, 21)]
        names += [f"test/NORMAL/IM-{number:04d}-0001.jpeg" for number in range(101, 105)]
        names += [f"test/PNEUMONIA/person{number}_bacteria_{number}.jpeg" for number in range(101, 105)]
        for number, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(xray(number))

    def _data(self, folder):
        from pneumo_tfds.prepared import build
        from pneumo_tfds.sources.opening import open_source

        build(open_source(self("xrays")), f"gray_{SIDE}", folder)

    def _run(self, folder):
        """A finished run, of a network that has learned nothing."""
        from pipeline.config import DataConfig, FitConfig, ModelConfig, RunConfig
        from pipeline.networks.inference_model import inference_model
        from pipeline.networks.models import build
        from pipeline.run_folder.folder import RunFolder
        from pipeline.run_folder.model_file import save_model

        run = RunFolder(folder)
        data = DataConfig(dataset=Path(DATASET), image_size=SIDE)
        fit = FitConfig(epochs=1, batch_size=8, precision="float32", xla="off")
        run.write_config(RunConfig(data=data, model=ModelConfig(model="compact"), fit=fit))
        save_model(run.model, inference_model(build(ModelConfig(model="compact"), SIDE)))
        self._scores(folder)

    def _runs(self, folder):
        self._scores(folder / "one")
        self._scores(folder / "two")

    def _scores(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        dataset = {"name": "pneumo_tfds/phantom_32", "version": "1.1.0"}
        metrics = {"dataset": dataset, "operating_point": POINT, "temperature": 1.0, "calibration": {}, "splits": {}}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        lines = ["split,filename,patient,subtype,label,probability"]
        for number in range(8):
            kind = ("normal", "NORMAL") if number % 2 else ("virus", "PNEUMONIA")
            lines.append(f"test,{number}.jpeg,p{number},{kind[0]},{kind[1]},0.{number + 1}")
        (folder / "predictions.csv").write_text("\n".join(lines) + "\n")

    def _model_onnx(self, path):
        path.write_bytes(onnx_file(PROPS))

    def _golden_npz(self, path):
        from export.inference import golden
        from export.inference.onnx_metadata import Metadata

        metadata = Metadata.from_props(PROPS, "model.onnx")
        golden.write(
            path, golden.make(lambda images: {"probability": np.zeros((len(images), 1), np.float32)}, metadata)
        )
