"""The space: what is searched, where it starts, and what a person may change."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipeline.config import AugmentConfig, FitConfig, ModelConfig, RunConfig, SearchConfig
from pneumo_tfds.program.errors import InputError
from tuning.search.search_plan import Plan
from tuning.search.space import PARAMETERS, STUDY, build_space, first_values, hyperparameters, to_config
from tuning.search.warm_start import best_values

START = RunConfig(fit=FitConfig(learning_rate=1e-3), model=ModelConfig(model="compact", dropout=0.2))


def names(parameters):
    return [parameter.name for parameter in parameters]


def test_learning_rate_dropout_l1_and_l2_are_searched():
    parameters, _ = build_space([], None, START)
    assert names(parameters) == ["learning_rate", "dropout", "l1", "l2"]


def test_every_parameter_reads_back_what_it_writes():
    for parameter in PARAMETERS:
        if parameter.name == "augmentation":
            continue
        value = parameter.from_drawn(parameter.high)
        network = "compact" if parameter.name in ("width", "depth") else "efficientnet_lite0"
        start = RunConfig(model=ModelConfig(model=network))
        assert parameter.read(parameter.write(start, value)) == value, parameter.name


def test_augmentation_multiplies_the_magnitudes_and_nothing_else():
    parameter = next(p for p in PARAMETERS if p.name == "augmentation")
    start = RunConfig(augment=AugmentConfig(rotation=10, zoom=0.8, flip=0.5))
    changed = parameter.write(start, 2.0).augment
    assert (changed.rotation, changed.zoom, changed.flip) == (20, 1, 0.5)  # zoom stops at what is allowed
    assert parameter.write(start, 0.0).augment.shift == 0


def test_the_start_is_inside_the_space_to_the_last_bit():
    start = RunConfig(fit=FitConfig(learning_rate=3e-5), model=ModelConfig(dropout=0.7, l1=0.0, l2=3e-2))
    parameters, base = build_space([], None, start)
    drawn = {hp.name: hp.default for hp in hyperparameters(parameters, base).space}
    assert to_config(base, parameters, drawn) == start
    for parameter, hp in zip(parameters, hyperparameters(parameters, base).space, strict=True):
        assert hp.min_value <= hp.default <= hp.max_value, parameter.name


def test_the_studys_values_come_second_unless_they_are_the_first():
    study = RunConfig(fit=FitConfig(learning_rate=STUDY["learning_rate"]), model=ModelConfig(dropout=STUDY["dropout"]))
    parameters, base = build_space([], None, study)
    assert len(first_values(parameters, base)) == 1
    parameters, base = build_space([], None, RunConfig(fit=FitConfig(learning_rate=3e-4)))
    own, second = first_values(parameters, base)
    assert own["learning_rate"] == 3e-4
    assert {parameter.name: parameter.from_drawn(second[parameter.name]) for parameter in parameters} == STUDY
    parameters, base = build_space(["weight_decay", "learning_rate=1e-4:5e-4"], None, base)
    assert len(first_values(parameters, base)) == 1  # 1e-3 lies outside


def test_a_range_that_is_given_is_obeyed_and_the_nearest_end_is_tried_first():
    start = RunConfig(fit=FitConfig(learning_rate=5e-4), model=ModelConfig(dropout=0.7))
    plan = Plan(replace(start, search=SearchConfig(ranges=("learning_rate=1e-3:1e-2", "augmentation=1.5:2"))), {})
    found = {parameter.name: (parameter.low, parameter.high) for parameter in plan.parameters}
    assert found["learning_rate"] == (1e-3, 1e-2)
    assert found["dropout"] == (0.0, 0.7)  # no range was given for it
    first = first_values(plan.parameters, plan.base)[0]
    assert (first["learning_rate"], first["augmentation"], first["dropout"]) == (1e-3, 1.5, 0.7)
    assert plan.moved == [
        "learning_rate starts at 0.001: its range does not hold the run's 0.0005",
        "augmentation starts at 1.5: its range does not hold the run's 1",
    ]


def test_width_and_depth_are_searched_of_compact_alone():
    with pytest.raises(InputError, match=r"width cannot be 0\.5: --width is 0\.5; it must be 1 unless --model is"):
        build_space(["width"], None, RunConfig())
    start = RunConfig(model=ModelConfig(model="compact"))
    parameters, base = build_space(["width", "depth"], None, start)
    drawn = {hp.name: hp.default for hp in hyperparameters(parameters, base).space}
    changed = to_config(base, parameters, drawn | {"width": 1.5, "depth": 2.4}).model
    assert (changed.width, changed.depth) == (1.5, 2)
    parameters, base = build_space(["fine_tune_blocks"], None, RunConfig())
    assert first_values(parameters, base)[0]["fine_tune_blocks"] == 7


def test_a_warm_start_is_the_best_of_an_earlier_search_and_never_twice(tmp_path):
    parameters, base = build_space(["dropout=0.1:0.4", "mixup"], None, START)
    board = tmp_path / "tuner" / "leaderboard.csv"
    board.parent.mkdir()
    rows = ["1,7,0.9,0.002,0.5", "2,3,0.8,0.001,0.2", "3,4,0.8,0.003,0.2", "4,5,0.7,0.009,0.3", ",6,,0.1,0.1"]
    board.write_text("\n".join(["place,trial,score,learning_rate,dropout", *rows]))
    warm = best_values(tmp_path, parameters)
    assert warm == best_values(board.parent, parameters)
    assert [row["learning_rate"] for row in warm] == [0.002, 0.001, 0.003]
    first = first_values(parameters, base, [*warm, warm[0]])
    rates = [START.fit.learning_rate, *dict.fromkeys([0.002, 0.001, 0.003])]
    assert [(row["learning_rate"], row["dropout"]) for row in first][1:2] == [(0.002, 0.4)]  # 0.5 is outside
    assert {row["learning_rate"] for row in first} == set(rates)
    assert len({tuple(row.values()) for row in first}) == len(first)
    assert all(row["mixup"] == base.fit.mixup for row in first)  # which the earlier one did not search
    assert best_values(None, parameters) == []


@pytest.mark.parametrize("content", [None, "place,trial,score,mixup\n1,1,0.9,0.1", "place,learning_rate\n1,much"])
def test_a_folder_that_cannot_start_a_search_is_named(tmp_path, content):
    if content:
        (tmp_path / "leaderboard.csv").write_text(content)
    with pytest.raises(InputError, match=r"--warm-start .*leaderboard\.csv"):
        best_values(tmp_path, build_space([], None, START)[0])


def test_zero_has_a_decade_of_its_own():
    l2 = next(parameter for parameter in build_space([], None, START)[0] if parameter.name == "l2")
    assert l2.from_drawn(l2.low / 2) == 0
    assert l2.from_drawn(l2.low) == l2.low
    assert l2.from_drawn(l2.to_drawn(0.0)) == 0
    assert l2.unit(0.0) == 0
    assert l2.unit(l2.high) == pytest.approx(1)


def test_random_draws_reach_zero_and_both_ends():
    parameters, base = build_space([], None, START)
    l1 = next(parameter for parameter in parameters if parameter.name == "l1")
    hp = next(hp for hp in hyperparameters(parameters, base).space if hp.name == "l1")
    values = [l1.from_drawn(hp.random_sample(seed)) for seed in range(400)]
    assert 0.15 < sum(value == 0 for value in values) / 400 < 0.35  # one decade of four
    assert min(value for value in values if value) < 2e-7
    assert max(values) > 5e-5


def test_ranges_change_fix_and_add():
    parameters, base = build_space(["learning_rate=1e-3:1e-2", "dropout=0.3", "weight-decay"], None, START)
    assert names(parameters) == ["learning_rate", "l1", "l2", "weight_decay"]
    assert (parameters[0].low, parameters[0].high) == (1e-3, 1e-2)
    assert base.model.dropout == 0.3


def test_a_file_says_the_same_and_flags_win(tmp_path):
    file = tmp_path / "space.json"
    file.write_text(json.dumps({"learning_rate": [1e-4, 1e-3], "dropout": 0.3, "batch_size": True}))
    parameters, base = build_space(["learning_rate=1e-3:2e-3"], file, START)
    assert names(parameters) == ["learning_rate", "l1", "l2", "batch_size"]
    assert (parameters[0].low, parameters[0].high) == (1e-3, 2e-3)
    assert base.model.dropout == 0.3


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        (["learning_rate=1e-2:1e-4"], "from 0.01 to 0.0001; give the smaller number first"),
        (["learning_rate=0:1e-2"], "has a log scale and cannot start at 0"),
        (["l2=0:1e-2"], "zero is tried anyway"),
        (["momentum=0.1:0.9"], "'momentum' cannot be searched; choose from learning_rate"),
        (["dropout=0.5:1.5"], "dropout cannot be 1.5"),
        (["dropout=low:high"], "expected name=low:high"),
        (["dropout=0.1:0.2:0.3"], "expected name=low:high"),
        (["learning_rate=1e-3", "dropout=0.1", "l1=0", "l2=0"], "leave nothing to search"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(ranges, message):
    with pytest.raises(InputError, match="--ranges") as caught:
        build_space(ranges, None, START)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_argument_of_ones_own_network_needs_a_range(tmp_path, monkeypatch):
    (tmp_path / "own_for_space.py").write_text("def network(image_size, filters=16):\n    return 1\n")
    monkeypatch.chdir(tmp_path)
    start = RunConfig(model=ModelConfig(model="own_for_space:network"))
    with pytest.raises(InputError, match=r"--ranges: filters .* has no usual range; give it as filters=low:high"):
        build_space(["filters"], None, start)
    parameters, _ = build_space(["filters=8:32"], None, start)
    assert (parameters[-1].name, parameters[-1].low, parameters[-1].high) == ("filters", 8, 32)


@pytest.mark.parametrize("content", ["[1]", "{", '{"dropout": "high"}', '{"dropout": [0.5, 0.1]}'])
def test_a_bad_file_is_named(tmp_path, content):
    file = tmp_path / "space.json"
    file.write_text(content)
    with pytest.raises(InputError, match=r"space\.json"):
        build_space([], file, START)
    with pytest.raises(InputError, match="give a JSON file"):
        build_space([], tmp_path / "none.json", START)


def test_a_name_that_stands_twice_in_a_file_is_refused(tmp_path):
    file = tmp_path / "space.json"
    file.write_text('{"dropout": [0.1, 0.2], "dropout": [0.3, 0.4]}')
    with pytest.raises(InputError, match=r"space\.json .*'dropout' stands twice in one object"):
        build_space([], file, START)


@pytest.mark.parametrize(
    ("ranges", "changed"),
    [
        ("augmentation", {"augment": AugmentConfig(augment=False)}),
        ("augmentation=1.5", {"augment": AugmentConfig(augment=False)}),
        ("fine_tune_blocks=1:3", {"model": ModelConfig(pretrained_weights="none")}),
    ],
)
def test_what_has_no_effect_on_the_run_is_not_searched(ranges, changed):
    with pytest.raises(InputError, match=r"--ranges: .* has no effect with"):
        build_space([ranges], None, replace(START, **{"model": ModelConfig(), **changed}))
    build_space([ranges], None, replace(START, model=ModelConfig()))


def test_a_grid_has_the_start_zero_and_both_ends():
    parameters, base = build_space([], None, START)
    declared = {hp.name: hp for hp in hyperparameters(parameters, base, grid=True).space}
    rates = declared["learning_rate"].values
    assert rates == pytest.approx([1e-4, 1e-3, 1e-2])
    l2 = next(parameter for parameter in parameters if parameter.name == "l2")
    assert [l2.from_drawn(value) for value in declared["l2"].values] == pytest.approx([0, 1e-6, 1e-3])
    assert next(iter(reversed(list(declared)))) == "learning_rate"  # KerasTuner changes the last one first


def test_batch_sizes_are_whole_numbers():
    parameters, base = build_space(["batch_size=8:64"], None, START)
    drawn = {hp.name: hp.default for hp in hyperparameters(parameters, base).space}
    changed = to_config(base, parameters, {**drawn, "batch_size": 20.6})
    assert changed.fit.batch_size == 21
    assert isinstance(changed.fit.batch_size, int)
