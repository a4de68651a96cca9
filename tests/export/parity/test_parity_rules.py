"""The rules of the comparison, on small files whose every output is known: no Keras, a few milliseconds each.

The right file returns 0.25 plus half the mean grey level of an image (0 to 1), and its heat map is the image; `spoilt`
makes files that differ from it in one thing.
"""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from export.inference.golden import EDGES, edge_images
from export.inference.onnx_metadata import ModelFileError
from export.parity.comparison import BATCH_SIZES, FLOAT32, LARGE_BATCH, REDUCED, Budget, ParityError, Report, compare
from pneumo_tfds.program.answers import Limits
from pneumo_tfds.program.errors import InputError

SIDE = 8
HEAT = 16.0  # of a white pixel, the largest


class Graph:
    """The nodes of an ONNX graph, written one after another."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def add(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def constant(self, name, value):
        self.constants.append(onnx.numpy_helper.from_array(np.array(value), name))
        return name

    def is_batch_of(self, size, output):
        """1.0 in batches of that size and 0.0 in others; 1.0 in all if the size is None."""
        if size is None:
            return self.constant(output, np.float32(1))
        self.add("Equal", ["count", self.constant(f"{output}_size", size)], f"{output}_equal")
        return self.add("Cast", [f"{output}_equal"], output, to=TensorProto.FLOAT)


def write(
    path,
    *,
    shift=0.0,
    familiarity_shift=None,
    heat_shift=0.0,
    at_level=None,
    in_batches_of=None,
    fails_in_batches_of=None,
    change=None,
):
    """Write a file that is right but for what is asked: `shift` for images of one level, or in batches of one size.

    With a `familiarity_shift` the mean grey level is the familiarity too, and is off by that for the same images.
    """
    g = Graph()
    axes, ends = g.constant("axes", [1, 2]), g.constant("last", [3])
    g.add("Cast", ["image"], "levels", to=TensorProto.FLOAT)
    g.add("ReduceMean", ["levels", axes], "level", keepdims=0)
    g.add("Mul", ["level", g.constant("half_a_level", np.float32(0.5 / 255))], "part")
    g.add("Add", ["part", g.constant("quarter", np.float32(0.25))], "right")
    g.add("Squeeze", ["levels", ends], "picture")
    g.add("Mul", ["picture", g.constant("heat", np.float32(HEAT / 255))], "right_heat")
    g.add("Shape", ["image"], "shape")
    g.add("Gather", ["shape", g.constant("first", 0)], "count")
    where = g.is_batch_of(in_batches_of, "here")
    if at_level is not None:
        g.add("Equal", ["level", g.constant("spoilt_level", np.float32(at_level))], "is_level")
        where = g.add("Cast", ["is_level"], "there", to=TensorProto.FLOAT)
    g.add("Mul", [where, g.constant("shift", np.float32(shift))], "moved")
    g.add("Add", ["right", "moved"], "probability")
    if fails_in_batches_of is not None:  # by an index far outside
        size = None if fails_in_batches_of == "every size" else fails_in_batches_of
        g.add("Cast", [g.is_batch_of(size, "fails")], "flag", to=TensorProto.INT64)
        g.add("Mul", ["flag", g.constant("far", 1000)], "row")
        g.add("Gather", ["level", "row"], "never")
    g.add("Mul", ["here", g.constant("heat_shift", np.float32(heat_shift))], "heat_moved")
    g.add("Add", ["right_heat", "heat_moved"], "heatmap")
    outputs = [("probability", ["N", 1]), ("heatmap", ["N", SIDE, SIDE])]
    if familiarity_shift is not None:
        g.add("Mul", ["level", g.constant("a_level", np.float32(1 / 255))], "right_familiarity")
        g.add("Mul", [where, g.constant("familiarity_shift", np.float32(familiarity_shift))], "familiarity_moved")
        g.add("Add", ["right_familiarity", "familiarity_moved"], "familiarity")
        outputs.append(("familiarity", ["N", 1]))
    if fails_in_batches_of is not None:
        g.nodes[-1].output[0] = "kept"
        g.add("Mul", ["never", g.constant("nothing", np.float32(0))], "zero")
        g.add("Add", ["kept", "zero"], "heatmap")
    graph = helper.make_graph(
        g.nodes,
        "grey",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        g.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if change:
        change(model)
    onnx.save(model, path)
    return path


@pytest.fixture
def spoilt(tmp_path):
    """The maker of files; see `write`."""
    return lambda **how: write(tmp_path / "model.onnx", **how)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The outputs Keras would return: those of the right file, by onnxruntime without our code."""
    session = onnxruntime.InferenceSession(write(tmp_path_factory.mktemp("right") / "right.onnx"))
    names = ["probability", "heatmap"]
    return lambda images: dict(zip(names, session.run(names, {"image": images}), strict=True))


def grey(*levels):
    """Flat images of these grey levels, uint8 [n, S, S, 1]."""
    return np.stack([np.full((SIDE, SIDE, 1), level, np.uint8) for level in levels])


@pytest.fixture
def images():
    """70 images, so that with the edges there is a full and a part batch of 64; only the last is of level 77."""
    return grey(*range(80, 149), 77)


def test_edge_images_match_their_names():
    edges = edge_images(16)
    assert (edges.shape, edges.dtype) == ((len(EDGES), 16, 16, 1), np.uint8)
    black, white, grey, noise, ramp, board = edges[..., 0]
    assert (black.max(), white.min(), grey.min(), grey.max()) == (0, 255, 128, 128)
    assert len(np.unique(noise)) > 100
    every = edge_images(96)[3, ..., 0]
    assert np.unique(every).tolist() == list(range(256))
    assert (noise == edge_images(16)[3, ..., 0]).all()
    assert ramp[0].tolist() == list(range(0, 256, 17))
    assert (ramp == ramp[0]).all()
    assert board[:2, :2].tolist() == [[0, 255], [255, 0]]
    assert (board == np.tile(board[:2, :2], (8, 8))).all()


def test_a_right_file_passes_and_every_figure_is_filled(reference, spoilt, images):
    labels = np.arange(70) % 2
    report = compare(reference, spoilt(), images, labels=labels, threshold=0.45)
    assert report.passed
    assert (report.images, report.real_images, report.batch_sizes) == (70 + len(EDGES), 70, (1, 2, 7, 64))
    assert report.budget == FLOAT32
    assert report.max_abs_probability == report.mean_abs_probability == report.max_abs_heatmap == 0.0
    assert report.decision_flips == 0
    # Level i is labelled i mod 2, the last (77, lowest of all) 1: of 35 x 35 pairs the odd level wins as counted.
    levels = np.append(np.arange(80, 149), 77)
    wins = (levels[labels == 1][:, None] > levels[labels == 0][None, :]).mean()
    assert (report.auroc_keras, report.auroc_file) == pytest.approx((wins, wins))
    assert report.summary().endswith(" on 76 images; 0 of 70 decisions change")
    written = report.to_json()
    assert written["passed"] is True
    assert written["differences"] == []
    budget = {"probability": 1e-5, "heatmap": 1e-4, "familiarity": 1e-3, "flips": 0.0, "answers": 0.0, "auroc": 0.003}
    assert written["budget"] == {**budget, "subtype": 1e-5, "heatmap_optional": False}


def test_without_images_or_labels_the_rest_is_compared(reference, spoilt, images):
    none = compare(reference, spoilt(), images[:0], labels=[])
    assert none.passed
    assert (none.images, none.real_images, none.decision_flips, none.auroc_file) == (len(EDGES), 0, None, None)
    assert none.summary().endswith("on 6 images")
    unlabelled, one_class = (compare(reference, spoilt(), images, labels=labels) for labels in (None, np.ones(70)))
    for report in (unlabelled, one_class):
        assert (report.passed, report.decision_flips, report.auroc_keras, report.auroc_file) == (True, 0, None, None)


@pytest.mark.parametrize("shift", [2e-5, -2e-5])
def test_a_probability_over_budget_is_named_for_every_batch_size(reference, spoilt, images, shift):
    report = compare(reference, spoilt(shift=shift), images[:1])
    assert report.differences == [
        f"probability differs from Keras by 2e-05 in batches of {size} (allowed: 1e-05)" for size in (1, 2, 7, 64)
    ]
    assert report.max_abs_probability == pytest.approx(2e-5, rel=0.05)
    assert report.mean_abs_probability == pytest.approx(2e-5, rel=0.05)
    assert report.max_abs_heatmap == 0.0
    assert not report.passed


def test_a_difference_within_budget_passes_and_is_recorded(reference, spoilt, images):
    report = compare(reference, spoilt(shift=5e-6, at_level=100), images)
    assert report.passed
    assert report.max_abs_probability == pytest.approx(5e-6, rel=0.05)
    assert report.mean_abs_probability < 1e-6  # one image of 76


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_a_file_that_differs_in_batches_of_one_size_only_is_detected(reference, spoilt, images, size):
    """58 real and 6 edge images make 64: one large batch, and 16 images (2 x 7 and 2) in the small ones."""
    report = compare(reference, spoilt(shift=0.001, in_batches_of=size), images[:58], threshold=0.3)
    assert report.differences[0] == f"probability differs from Keras by 0.001 in batches of {size} (allowed: 1e-05)"
    # Sixteen images in batches of 7 leave one batch of 2.
    also = ["probability differs from Keras by 0.001 in batches of 7 (allowed: 1e-05)"] if size == 2 else []
    assert report.differences[1:] == also
    assert report.max_abs_probability == pytest.approx(0.001, rel=0.01)


def test_every_real_image_is_compared_not_only_the_first(reference, spoilt, images):
    """The last of 70 images, which only the large batches hold."""
    report = compare(reference, spoilt(shift=0.001, at_level=77), images)
    assert report.differences == ["probability differs from Keras by 0.001 in batches of 64 (allowed: 1e-05)"]


@pytest.mark.parametrize("level", [0, 255, 128])
def test_edge_images_are_compared_too(reference, spoilt, images, level):
    report = compare(reference, spoilt(shift=0.001 if level < 255 else -0.001, at_level=level), images[:0])
    assert len(report.differences) == len(BATCH_SIZES)


@pytest.mark.parametrize(("shift", "passes"), [(8e-5, True), (1.2e-4, False)])
def test_edge_images_may_differ_by_ten_times_as_much(reference, spoilt, images, shift, passes):
    assert compare(reference, spoilt(shift=shift, at_level=128), images[:0]).passed is passes


@pytest.mark.parametrize(("shift", "passes"), [(0.0015, True), (0.0017, False), (-0.0017, False)])
def test_the_heat_maps_budget_is_a_part_of_the_largest_heat(reference, spoilt, images, shift, passes):
    """A ten-thousandth of 16."""
    report = compare(reference, spoilt(heat_shift=shift), images)
    assert report.passed == passes
    assert report.max_abs_heatmap == pytest.approx(abs(shift), rel=0.01)
    if not passes:
        assert report.differences[0] == "heatmap differs from Keras by 0.0017 in batches of 1 (allowed: 0.0016)"


def test_the_heat_maps_budget_is_that_part_of_one_at_least(reference, spoilt, images):
    def erase(model):
        next(c for c in model.graph.initializer if c.name == "heat").raw_data = np.float32(0).tobytes()

    def faint(images):
        return reference(images) | {"heatmap": np.zeros((len(images), SIDE, SIDE), np.float32)}

    assert compare(faint, spoilt(heat_shift=0.9e-4, change=erase), images).passed
    assert "allowed: 0.0001" in compare(faint, spoilt(heat_shift=1.1e-4, change=erase), images).differences[0]


def test_a_budget_of_nothing_allows_equal_answers_and_no_more(reference, spoilt, images):
    nothing, labels = Budget(probability=0.0, heatmap=0.0, flips=0.0, auroc=0.0), np.arange(70) % 2
    assert compare(reference, spoilt(), images, labels=labels, budget=nothing).passed
    assert not compare(reference, spoilt(shift=1e-6, at_level=100), images, labels=labels, budget=nothing).passed


def test_a_model_that_is_certain_is_within_0_to_1(spoilt):
    """Black is 0 and white 1."""

    def stretch(model):
        for name, value in (("half_a_level", 1 / 255), ("quarter", 0.0)):
            constant = next(c for c in model.graph.initializer if c.name == name)
            constant.raw_data = np.float32(value).tobytes()

    file = spoilt(change=stretch)
    session = onnxruntime.InferenceSession(file)
    names = ["probability", "heatmap"]

    def answer(images):
        return dict(zip(names, session.run(names, {"image": images}), strict=True))

    assert answer(grey(0, 255))["probability"].tolist() == [[0.0], [1.0]]
    assert compare(answer, file, grey(0, 255)).passed


def test_one_broken_output_does_not_hide_the_other(reference, spoilt, images):
    report = compare(reference, spoilt(shift=np.nan, heat_shift=0.1), images, threshold=0.9)
    assert [text.split(" in batches")[0] for text in report.differences] == [
        "probability is not finite",
        "heatmap differs from Keras by 0.1",
    ] * len(BATCH_SIZES)


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_nan_and_infinity_are_differences_under_any_budget(reference, spoilt, images, size):
    for broken in (np.nan, np.inf):
        report = compare(reference, spoilt(shift=broken, in_batches_of=size), images[:58], budget=REDUCED)
        assert f"probability is not finite in batches of {size}" in report.differences
    heat = compare(reference, spoilt(heat_shift=np.nan), images, budget=REDUCED)
    assert heat.differences == [f"heatmap is not finite in batches of {size}" for size in BATCH_SIZES]
    assert heat.max_abs_probability == 0.0  # what can be compared is


@pytest.mark.parametrize(("shift", "threshold"), [(0.3, 0.2), (-0.3, 0.9)])
def test_a_probability_outside_0_to_1_is_a_difference_under_any_budget(reference, spoilt, images, shift, threshold):
    """White rises to 1.05, or black falls to -0.05."""
    report = compare(reference, spoilt(shift=shift), images, budget=REDUCED, threshold=threshold)
    assert report.differences == [f"a probability is outside 0 to 1 in batches of {size}" for size in BATCH_SIZES]


def test_a_batch_that_fails_is_named_and_the_others_are_compared(reference, spoilt, images):
    for size in (2, 64):
        report = compare(reference, spoilt(fails_in_batches_of=size), images[:58])
        assert report.differences[0].startswith(f"batches of {size} fail: ")
        assert "indices element out of data bounds" in report.differences[0]
        assert "\n" not in report.differences[0]
        assert report.max_abs_probability == 0.0
        assert report.decision_flips == (0 if size == 2 else None)


def test_a_file_without_any_answer_is_a_difference_for_each_size(reference, spoilt, images):
    report = compare(reference, spoilt(fails_in_batches_of="every size"), images)
    assert [text.partition(" fail: ")[0] for text in report.differences] == [f"batches of {n}" for n in BATCH_SIZES]
    assert (report.max_abs_probability, report.decision_flips) == (None, None)


@pytest.fixture(scope="module")
def reference_of_four(tmp_path_factory):
    """The outputs of a right file that has a familiarity."""
    path = tmp_path_factory.mktemp("right") / "four.onnx"
    session = onnxruntime.InferenceSession(write(path, familiarity_shift=0.0))
    names = ["probability", "heatmap", "familiarity"]
    return lambda images: dict(zip(names, session.run(names, {"image": images}), strict=True))


def test_a_familiarity_over_budget_is_named(reference_of_four, spoilt, images):
    limits = Limits(0.4, 0.5, 0.2)
    right = compare(reference_of_four, spoilt(familiarity_shift=0.0), images, limits=limits)
    assert (right.differences, right.max_abs_familiarity, right.answer_flips) == ([], 0.0, 0)
    assert right.summary().endswith("; 0 of 70 decisions and 0 of the four answers change")
    within = compare(reference_of_four, spoilt(familiarity_shift=5e-5, at_level=100), images, limits=limits)
    assert within.passed
    assert within.max_abs_familiarity == pytest.approx(5e-5, rel=0.01)
    over = compare(reference_of_four, spoilt(familiarity_shift=2e-3, at_level=148), images, limits=limits)
    assert over.differences == [
        "familiarity differs from Keras by 0.002 in batches of 64 (allowed: 0.001)",
    ]
    outside = compare(reference_of_four, spoilt(familiarity_shift=1.0, at_level=100), images, limits=limits)
    assert "a familiarity is outside 0 to 1 in batches of 64" in outside.differences


@pytest.mark.parametrize(("flipped", "passes"), [(5, True), (6, False)])
def test_one_answer_in_twenty_may_change_in_a_reduced_file(reference_of_four, spoilt, flipped, passes):
    """Of a hundred images, those of level 100 (familiarity 0.392) become UNSUITABLE; two ways stay."""
    levels = np.full(100, 120)
    levels[:flipped] = 100
    file = spoilt(familiarity_shift=-0.1, at_level=100)
    report = compare(reference_of_four, file, grey(*levels), limits=Limits(0.2, 0.3, 0.35), budget=REDUCED)
    assert (report.decision_flips, report.answer_flips) == (0, flipped)
    assert report.differences == ([] if passes else ["6 of 100 of the four answers change"])


def test_answers_change_by_probability_too_and_not_without_limits(reference_of_four, spoilt):
    """Level 100 moves from 0.446 to 0.466, over the limit of 0.45 and under the threshold."""
    file, images = spoilt(shift=0.02, familiarity_shift=0.0, at_level=100), grey(100, 90)
    report = compare(reference_of_four, file, images, limits=Limits(0.45, 0.9), budget=REDUCED)
    assert (report.decision_flips, report.answer_flips) == (0, 1)
    assert compare(reference_of_four, file, images, budget=REDUCED).answer_flips is None


def test_an_answer_within_the_budget_of_a_limit_may_change(reference_of_four, spoilt):
    images = grey(100, 90)
    between = float(reference_of_four(images)["familiarity"][0, 0]) + 2.5e-5
    file = spoilt(familiarity_shift=5e-5, at_level=100)
    report = compare(reference_of_four, file, images, limits=Limits(0.2, 0.3, between))
    assert (report.answer_flips, report.differences) == (1, [])


@pytest.mark.parametrize(("flipped", "passes"), [(1, True), (2, False)])
def test_one_decision_in_a_hundred_may_change_in_a_reduced_file(reference, spoilt, flipped, passes):
    """One or two of a hundred images, of level 100, rise from 0.446 over the threshold of 0.45."""
    levels = np.full(100, 90)
    levels[:flipped] = 100
    file = spoilt(shift=0.02, at_level=100)
    report = compare(reference, file, grey(*levels), threshold=0.45, budget=REDUCED)
    assert report.decision_flips == flipped
    assert report.differences == (
        [] if passes else [f"{flipped} of 100 decisions change at threshold 0.45 (allowed: 1)"]
    )
    assert f"{flipped} of 100 decisions change" in report.summary()


def test_only_real_images_have_decisions(reference, spoilt):
    """White, an edge image, falls under the threshold; no real image does."""
    report = compare(reference, spoilt(shift=-0.02, at_level=255), grey(90, 240), threshold=0.74, budget=REDUCED)
    assert (report.decision_flips, report.differences) == (0, [])


def test_a_decision_within_the_budget_of_the_threshold_may_change(reference, spoilt):
    """The image of level 100 moves by 5e-6, within the budget, over a threshold that lies between: counted, excused."""
    images = grey(100, 90)
    threshold = float(reference(images)["probability"][0, 0]) + 2.5e-6
    report = compare(reference, spoilt(shift=5e-6, at_level=100), images, threshold=threshold)
    assert (report.decision_flips, report.differences) == (1, [])


def test_as_far_from_the_threshold_as_the_budget_is_still_on_the_edge(reference, spoilt):
    """Black is 0.25 exactly, and the threshold and the file's answer both lie 2^-10 above it."""
    step = 2.0**-10
    file = spoilt(shift=step, at_level=0)
    report = compare(reference, file, grey(0, 90), threshold=0.25 + step, budget=Budget(probability=step))
    assert (report.decision_flips, report.differences) == (1, [])


def test_the_default_threshold_is_one_half(reference, spoilt):
    report = compare(reference, spoilt(shift=0.02, at_level=127), grey(127, 90), budget=REDUCED)  # 0.499 to 0.519
    assert report.decision_flips == 1


def test_a_changed_decision_of_a_float32_file_is_a_difference_of_its_own(reference, spoilt):
    """0.446078 moves by 0.001 over a threshold halfway; the other image stays."""
    report = compare(reference, spoilt(shift=0.001, at_level=100), grey(100, 90), threshold=0.446578)
    assert report.decision_flips == 1
    assert report.differences[-1] == "1 of 2 decisions change at threshold 0.446578 (allowed: 0)"


def test_a_probability_at_the_threshold_is_pneumonia_to_keras_and_to_the_file(reference, spoilt):
    """What lies on the threshold moves up, or what lay above it moves onto it: no decision changes."""
    images = grey(100, 90)
    before = reference(images)["probability"][0, 0]
    up, down = np.float32(5e-6), np.float32(-5e-6)
    assert compare(reference, spoilt(shift=up, at_level=100), images, threshold=float(before)).decision_flips == 0
    assert (
        compare(reference, spoilt(shift=down, at_level=100), images, threshold=float(before + down)).decision_flips == 0
    )


def test_ranking_is_compared_separately(reference, spoilt):
    """Two of ten pairs change their order while every probability stays in a wide budget."""
    images, labels = grey(100, 101, 110, 120, 130, 140, 150), [1, 0, 1, 1, 1, 1, 0]
    file = spoilt(shift=0.02, at_level=100)  # 100 passes 101 and 110
    report = compare(reference, file, images, labels=labels, threshold=0.1, budget=REDUCED)
    assert (report.auroc_keras, report.auroc_file) == pytest.approx((4 / 10, 5 / 10))
    assert report.differences == ["AUROC is 0.50000; with Keras it is 0.40000"]
    turned = compare(reference, file, images, labels=[1 - label for label in labels], threshold=0.1, budget=REDUCED)
    assert turned.differences == ["AUROC is 0.50000; with Keras it is 0.60000"]
    wide = Budget(probability=1.0, heatmap=1.0, flips=0.01, auroc=0.11)
    assert compare(reference, file, images, labels=labels, threshold=0.1, budget=wide).passed


def rename_input(model):
    model.graph.input[0].name = "xray"
    for node in model.graph.node:
        node.input[:] = ["xray" if name == "image" else name for name in node.input]


def fix_batch(model):
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 3


def fix_batch_of_an_output(model):
    model.graph.output[1].type.tensor_type.shape.dim[0].dim_value = 3


def swap_outputs(model):
    first, second = (onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend([second, first])


def drop_heatmap(model):
    del model.graph.output[1]


def doubles(model):
    model.graph.node.append(helper.make_node("Cast", ["probability_32"], ["probability"], to=TensorProto.DOUBLE))
    next(n for n in model.graph.node if n.output[0] == "probability").output[0] = "probability_32"
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        (rename_input, ["the input is [('xray', 'tensor(uint8)', [8, 8, 1])], not image uint8 [N, 8, 8, 1]"]),
        (fix_batch, ["the batch is fixed: [3, 3, 3]"]),
        (fix_batch_of_an_output, ["the batch is fixed: ['N', 'N', 3]"]),
        (swap_outputs, ["the outputs are ['heatmap', 'probability'], not ['probability', 'heatmap']"]),
        (drop_heatmap, ["the outputs are ['probability'], not ['probability', 'heatmap']"]),
        (doubles, ["probability is ('tensor(double)', [1]), not ('tensor(float)', [1])"]),
    ],
)
def test_another_signature_is_named_and_nothing_is_run(reference, spoilt, images, change, differences):
    report = compare(reference, spoilt(change=change), images)
    assert report.differences == differences
    assert (report.max_abs_probability, report.decision_flips) == (None, None)
    assert report.summary() == "not compared"


def test_images_of_another_size_than_the_files_are_named(spoilt):
    def answer(images):
        return {
            "probability": np.zeros((len(images), 1), np.float32),
            "heatmap": np.zeros(images.shape[:3], np.float32),
        }

    report = compare(answer, spoilt(), np.zeros((2, 4, 4, 1), np.uint8))
    assert report.differences == [
        "the input is [('image', 'tensor(uint8)', [8, 8, 1])], not image uint8 [N, 4, 4, 1]",
        "heatmap is ('tensor(float)', [8, 8]), not ('tensor(float)', [4, 4])",
    ]


def test_an_answer_of_another_shape_than_declared_is_named(reference, spoilt, images):
    """The file declares one heat map an image and gives each twice; its probabilities are compared all the same."""

    def twice(model):
        node = next(n for n in model.graph.node if n.output[0] == "heatmap")
        node.output[0] = "once"
        model.graph.node.append(helper.make_node("Concat", ["once", "once"], ["heatmap"], axis=0))

    report = compare(reference, spoilt(change=twice), images[:58])
    assert report.differences[0] == "heatmap is float32(32, 8, 8) in batches of 1, not float32(16, 8, 8)"
    assert len(report.differences) == len(BATCH_SIZES)
    assert (report.max_abs_heatmap, report.decision_flips) == (None, 0)
    assert report.max_abs_probability == 0.0


def test_an_answer_that_lacks_an_image_is_named(reference, spoilt, images):
    """Of the last 12 of 76 images the file answers 11, and rightly: still not an answer for every image."""

    def lose_one(model):
        node = next(n for n in model.graph.node if n.output[0] == "probability")
        node.output[0] = "every"
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(np.array(value), name) for name, value in (("twelve", 12), ("none", [0]))
        )
        model.graph.node.extend(
            [
                helper.make_node("Equal", ["count", "twelve"], ["is_twelve"]),
                helper.make_node("Cast", ["is_twelve"], ["lost"], to=TensorProto.INT64),
                helper.make_node("Sub", ["count", "lost"], ["kept_rows"]),
                helper.make_node("Unsqueeze", ["kept_rows", "none"], ["end"]),
                helper.make_node("Slice", ["every", "none", "end"], ["probability"]),
            ]
        )

    lost = "probability is float32(75, 1) in batches of 64, not float32(76, 1)"
    assert compare(reference, spoilt(change=lose_one), images).differences == [lost]
    both = compare(reference, spoilt(change=lose_one, heat_shift=0.1), images)
    assert both.differences[-2:] == [
        lost,
        "heatmap differs from Keras by 0.1 in batches of 64 (allowed: 0.0016)",
    ]


def test_no_file_and_no_threads_are_one_clear_error(reference, spoilt, images, tmp_path):
    with pytest.raises(ModelFileError, match=r"gone\.onnx is not a file"):
        compare(reference, tmp_path / "gone.onnx", images)
    with pytest.raises(InputError, match="threads is 0"):
        compare(reference, spoilt(), images, threads=0)


def test_the_budgets_are_those_of_the_documentation():
    float32 = {"probability": 1e-5, "heatmap": 1e-4, "familiarity": 1e-3, "flips": 0.0, "answers": 0.0, "auroc": 0.003}
    assert Budget(**float32, subtype=1e-5) == FLOAT32
    reduced = {"probability": 1.0, "heatmap": 0.25, "familiarity": 1.0, "flips": 0.01, "answers": 0.05, "auroc": 0.003}
    assert Budget(**reduced, subtype=1.0, heatmap_optional=True) == REDUCED
    assert (BATCH_SIZES, LARGE_BATCH) == ((1, 2, 7, 64), 64)
    assert issubclass(ParityError, InputError)
    assert Report(budget=FLOAT32, images=6, real_images=0).passed
