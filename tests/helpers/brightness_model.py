"""A tiny ONNX file in our contract whose logit is the brightness of the picture, and local images that it ranks."""

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bad_inputs_files import PROPS, SIDE
from pipeline.networks.familiarity_levels import levels_of, ramps

GREY, STEP = 128.0, 20.0
LIMITS = {
    "version": "2", "familiarity_threshold": "0.01", "certain_normal_below": "0.1", "certain_pneumonia_from": "0.9",
    "guarantee": "of another place",
}  # fmt: skip


def write_model(path: Path, *, familiar: bool = True, heatmap: bool = False, subtype: bool = False, **props) -> Path:
    """Write it: the logit is (mean - 128) / 20, the distance |mean - 128|. Without `familiar` it is of version 1.

    With `heatmap` it has that of the same logit, as large as the picture. With `subtype` that is VIRUS below a logit of
    2.5, of a probability of 0.924, and BACTERIA above.
    """
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 1])
    outputs = ["probability", "familiarity"][: 1 + familiar] + ["subtype"] * subtype
    slopes, offsets = ramps(levels_of(np.linspace(0, 60, 500)))
    weights = {"grey": GREY, "step": 1 / STEP, "scale": 1.0, "offset": 0.0, "one": 1.0, "even": 2.5}
    weights |= {"slopes": slopes, "offsets": offsets}
    axes = {"hw": [1, 2], "all": [1], "channel": [3]}
    tensors = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()]
    tensors += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in axes.items()]
    steps = [
        "Cast image float", "ReduceMean float hw mean", "Sub mean grey brighter", "Mul brighter step logit",
        "Mul logit scale scaled", "Add scaled offset calibrated", "Sigmoid calibrated probability",
    ]  # fmt: skip
    if familiar:
        steps += [
            "Abs brighter distance", "MatMul distance slopes ranks", "Add ranks offsets ramps", "Relu ramps above",
            "Min above one between", "ReduceMean between all share", "Sub one share familiarity",
        ]  # fmt: skip
    if heatmap:
        steps += ["ReduceMean float channel plane", "Sub plane grey bright", "Mul bright step heatmap"]
    if subtype:
        steps += ["Sub even logit darker", "Sigmoid darker subtype"]
        props = {"version": "2", "subtypes": '["BACTERIA","VIRUS"]'} | props
    extra = {"Cast": {"to": TensorProto.FLOAT}, "float": {"keepdims": 0}, "between": {"keepdims": 1}}
    nodes = [
        helper.make_node(kind, names[:-1], names[-1:], **extra.get(kind, {}), **extra.get(names[0], {}))
        for kind, *names in map(str.split, steps)
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in outputs]
    if heatmap:
        infos.append(helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, ["N", SIDE, SIDE]))
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(nodes, "brightness", [image], infos, [one for one in tensors if one.name in used])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    known = PROPS | (LIMITS if familiar else {}) | props
    helper.set_model_props(model, known)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path


def write_images(folder: Path, *, patients: int = 50, apart: float = 40, shift: float = 0, seed: int = 0) -> Path:
    """Write two PNGs of each of `patients` patients of each class, and a table of them, whose path is returned.

    The brightness of PNEUMONIA is `apart` above that of NORMAL on average; both are `shift` brighter than the model
    expects. Its standard deviation is 15 between patients, 5 within.
    """
    random = np.random.default_rng(seed)
    lines = ["path,label,patient"]
    folder.mkdir(parents=True)
    for label, side in (("NORMAL", -0.5), ("PNEUMONIA", 0.5)):
        for patient in range(patients):
            middle = GREY + shift + side * apart + random.normal(0, 15)
            for number in range(2):
                name = f"{label[0]}{patient}-{number}.png"
                noise = random.normal(0, 8, (SIDE, SIDE))
                picture = np.clip(middle + random.normal(0, 5) + noise - noise.mean(), 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / name), picture)
                lines.append(f"{name},{label},{label[0]}{patient}")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines) + "\n")
    return table
