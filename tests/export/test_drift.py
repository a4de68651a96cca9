"""Drift: answers are compared with the distribution of those to validation, which the file carries."""

import json

import numpy as np
import pytest

from brightness_model import write_model
from export.drift import ALARM, Drift, drift
from export.export_options import ExportOptions
from export.export_run import export_run
from export.inference.answer_reference import reference_of, stability
from export.inference.classifier import Classifier
from export.inference.decision import decide
from export.inference.onnx_metadata import ModelFileError
from pneumo_tfds.program.answers import Limits
from pneumo_tfds.program.errors import InputError

LIMITS = Limits(0.1, 0.9, 0.01)


def answers(count, seed, darker=0.0):
    """Probabilities with both ends heavy, and familiarities; `darker` lowers the latter."""
    random = np.random.default_rng(seed)
    probabilities, familiarities = random.beta(0.4, 0.4, count), random.uniform(0, 1, count) ** (1 + darker)
    return [round(float(value), 9) for value in probabilities], [round(float(value), 6) for value in familiarities]


@pytest.fixture
def model(tmp_path):
    reference = json.dumps(reference_of(LIMITS, *answers(800, seed=1)))
    return write_model(tmp_path / "model.onnx", threshold="0.37", reference=reference)


def written(model, /, probabilities, familiarities, **changes):
    limits = Classifier(model).metadata.limits
    rows = [
        {"file": f"{n}.png", "probability": p, "decision": decide(limits, p, f)[0], "threshold": 0.37, "familiarity": f}
        | changes
        for n, (p, f) in enumerate(zip(probabilities, familiarities, strict=True))
    ]
    path = model.with_name("answers.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Drift(answers=path, model=model)


@pytest.mark.parametrize("count", [40, 400])
def test_answers_to_such_images_raise_no_alarm(model, count, capsys):
    for seed in range(20):
        assert drift(written(model, *answers(count, seed=100 + seed))) == 0
    assert "Alarm" not in capsys.readouterr().out


def test_images_that_look_otherwise_raise_an_alarm(model, capsys):
    assert drift(written(model, *answers(400, seed=3, darker=2))) == ALARM
    said = capsys.readouterr()
    assert said.err.startswith(f"{model}: not checked, as it has no digest; ")
    printed = said.out
    assert printed.startswith("400 answers, beside 800 to reference images\nNORMAL        ")
    assert "Alarm: the images look otherwise than the reference images." in printed
    assert printed.count("Alarm") == 2, "the probabilities are as they were, and more is refused"
    assert "probability" not in "".join(line for line in printed.splitlines() if "drifted" in line)


def test_more_pneumonia_raises_an_alarm(model, capsys):
    probabilities, familiarities = answers(400, seed=4)
    assert drift(written(model, np.sqrt(np.sqrt(probabilities)).tolist(), familiarities)) == ALARM
    assert "the model finds pneumonia more or less often" in capsys.readouterr().out


def test_the_index_is_that_of_the_literature_and_rarely_over_its_bound_by_chance():
    index, _ = stability([100_000, 300_000], [200_000, 200_000])
    assert index == pytest.approx(0.25 * np.log(2) + 0.25 * np.log(1.5), rel=1e-4)
    random, shares = np.random.default_rng(0), np.full(10, 0.1)
    draws = [stability(random.multinomial(800, shares), random.multinomial(200, shares)) for _ in range(2000)]
    assert sum(index > chance for index, chance in draws) <= 8


def test_values_that_are_all_alike_are_one_bin():
    reference = reference_of(LIMITS, [1.0] * 50, None)
    assert reference == {"answers": {"PNEUMONIA": 50}, "probability": {"edges": [1.0], "counts": [0, 50]}}


def test_an_export_carries_the_reference_of_validation(exported, tmp_path, sample_images):
    import shutil

    run = shutil.copytree(exported, tmp_path / "run")
    lines = [f"{'validation' if k < 30 else 'test'},{k}.png,p{k},normal,NORMAL,{k / 40}," for k in range(40)]
    (run / "predictions.csv").write_text(
        "\n".join(["split,filename,patient,subtype,label,probability,familiarity", *lines]) + "\n"
    )
    list(export_run(run, ExportOptions(threads=1)))
    reference = Classifier(run / "model.onnx").metadata.reference
    assert reference["answers"] == {"NORMAL": 20, "PNEUMONIA": 10}
    assert sum(reference["probability"]["counts"]) == 30
    assert "familiarity" not in reference
    assert sum(reference["brightness"]["counts"]) == 40, "of the images of the comparison"


def test_more_refusals_raise_an_alarm(model, capsys):
    assert drift(written(model, *answers(400, seed=5), decision="UNSUITABLE")) == ALARM
    assert "Alarm: more or fewer images are UNSUITABLE" in capsys.readouterr().out


def test_a_picture_is_drawn(model):
    command = written(model, *answers(40, seed=5))
    plot = model.with_name("drift.png")
    drift(Drift(answers=command.answers, model=model, plot=plot))
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["answers.jsonl", "model.onnx"])
def test_a_picture_replaces_nothing_that_is_read(model, name):
    command = written(model, *answers(40, seed=5))
    read = {"answers.jsonl": command.answers, "model.onnx": model}[name]
    before, link = read.read_bytes(), model.with_name("link.png")
    link.symlink_to(read)
    for plot in (read, link):
        with pytest.raises(InputError, match=r"--plot .* is an input.*, which stays as it is; name another file"):
            drift(Drift(answers=command.answers, model=model, plot=plot))
    assert (read.read_bytes(), link.is_symlink()) == (before, True)


def test_images_that_could_not_be_read_are_counted(model, capsys):
    command = written(model, *answers(40, seed=6))
    with command.answers.open("a") as file:
        file.write('{"file": "x.png", "error": "x.png: damaged"}\n')
    drift(command)
    assert "40 answers, beside 800 to reference images; 1 image could not be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"threshold": 0.5}, "line 1: '[A-Z]+' at threshold 0.5, but .*, and threshold 0.37; give answers of this"),
        ({"decision": "BANANA"}, "line 1: 'BANANA' at threshold 0.37, but .*model.onnx answers [A-Z]+ at such"),
        ({"familiarity": None}, "line 1: no familiarity; give a file of export.predict --json, by the same model"),
        ({"probability": "high"}, "line 1: no probability"),
        ({"probability": float("nan")}, "line 1: no probability"),
    ],
)
def test_answers_of_another_model_are_refused(model, change, says):
    with pytest.raises(InputError, match=says):
        drift(written(model, [0.5], [0.5], **change))


def test_bad_input(model, tmp_path):
    file = tmp_path / "x.jsonl"
    command = Drift(answers=file, model=model)
    with pytest.raises(InputError, match=r"x.jsonl cannot be read: No such file"):
        drift(command)
    file.write_text("")
    with pytest.raises(InputError, match="has no answer"):
        drift(command)
    file.write_text("file,probability\n")
    with pytest.raises(InputError, match="line 1: not JSON"):
        drift(command)
    older, damaged = write_model(tmp_path / "older.onnx"), write_model(tmp_path / "d.onnx", reference='{"answers": 3}')
    written(model, [0.5], [0.5])
    with pytest.raises(InputError, match=r"older.onnx has no reference to compare with; export the run again"):
        drift(Drift(answers=file, model=older))
    good = written(model, [0.5] * 40, [0.5] * 40, threshold=0.5).answers
    with pytest.raises(InputError, match="has a damaged reference"):
        drift(Drift(answers=good, model=damaged))


@pytest.mark.parametrize("where", [0, 1])
def test_only_what_is_checked_is_compared(model, where, capsys):
    command = written(model, *answers(40, seed=9))
    rows = [json.loads(line) for line in command.answers.read_text().splitlines()]
    rows[where]["brightness"] = "dark"
    command.answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert drift(command) == 0
    assert "brightness" not in capsys.readouterr().out


def test_an_answer_near_a_limit_is_one_of_the_four_too(model):
    for decision in ("PERHAPS", None, ["NORMAL"]):
        with pytest.raises(InputError, match="line 1: "):
            drift(written(model, [0.1] * 40, [0.5] * 40, decision=decision))


def test_answers_say_which_file_gave_them(model):
    mine = Classifier(model).identity
    assert drift(written(model, *answers(40, seed=9), model=mine)) == 0
    with pytest.raises(
        InputError, match=rf"line 1: by the model '0123456789ab', and .*model\.onnx is {mine}; give that"
    ):
        drift(written(model, *answers(40, seed=9), model="0123456789ab"))


def test_answers_of_two_ways_are_refused(model):
    command = written(model, [0.2] * 40, [0.5] * 40, decision="NORMAL")
    with pytest.raises(InputError, match=r"answers UNCERTAIN at such values.*without --threshold and --two-"):
        drift(command)


def test_too_few_answers_are_not_compared(model):
    with pytest.raises(InputError, match="has 19 answers, too few to tell drift from chance; give 20 or more"):
        drift(written(model, *answers(19, seed=7)))


@pytest.mark.parametrize(
    "change",
    [
        {"edges": [0.5, 0.2], "counts": [1, 1, 1]},
        {"edges": [0.2, None], "counts": [1, 1, 1]},
        {"edges": [0.2], "counts": [-5, 8]},
        {"edges": [0.2], "counts": [0, 0]},
        {"edges": [0.2], "counts": [1]},
    ],
)
def test_damaged_reference_is_refused_by_name(model, change):
    command = written(model, *answers(40, seed=8))
    reference = reference_of(LIMITS, *answers(800, seed=1)) | {"probability": change}
    write_model(model, threshold="0.37", reference=json.dumps(reference))
    with pytest.raises(ModelFileError, match=r"model\.onnx has a damaged reference; export the run again"):
        drift(command)
