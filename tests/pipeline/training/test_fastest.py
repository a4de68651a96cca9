"""The fastest way to train: measured once for a network on a machine, and not believed where rounds disagree."""

from types import SimpleNamespace

import pytest

from pipeline.config import DataConfig, FitConfig, ModelConfig, RunConfig
from pipeline.devices.precision import Execution
from pipeline.training import fastest
from pneumo_tfds.program.errors import InputError

CONFIG = RunConfig(model=ModelConfig(model="compact"), data=DataConfig(image_size=32), fit=FitConfig(batch_size=2))
WAYS = [Execution("CPU", "mixed_bfloat16", False), Execution("CPU", "float32", False)]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fastest, "candidates", lambda config: WAYS)
    return tmp_path / "pneumo" / "fastest.json"


def seconds(monkeypatch, *rounds):
    """Let measuring give these seconds; return a list that gets one entry for each time it is asked."""
    asked = []
    monkeypatch.setattr(
        fastest, "_measured", lambda config, ways: asked.append(config) or [list(one) for one in rounds]
    )
    return asked


def test_every_way_is_timed_by_steps_of_the_network_and_kept(home):
    chosen = fastest.fastest(CONFIG)
    assert chosen.precision in ("mixed_bfloat16", "float32")
    assert chosen.why
    assert home.exists() != ("contradict" in chosen.why)


def test_the_fastest_is_kept_and_not_measured_again(monkeypatch):
    asked = seconds(monkeypatch, [2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    first, second = fastest.fastest(CONFIG), fastest.fastest(CONFIG)
    assert (first.precision, first.why) == ("float32", "measured here: 2.0 times as fast as mixed_bfloat16")
    assert first == second
    assert len(asked) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(fastest, "version_of", lambda name: "another"),
        lambda patch: patch.setattr(fastest.processor, "name", lambda: "another"),
        lambda patch: patch.setenv("TF_ENABLE_ONEDNN_OPTS", "another"),
    ],
)
def test_another_version_processor_or_variable_is_measured_again(monkeypatch, change):
    asked = seconds(monkeypatch, [2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    fastest.fastest(CONFIG)
    change(monkeypatch)
    fastest.fastest(CONFIG)
    assert len(asked) == 2


def test_what_was_measured_here_is_told_and_that_of_another_machine_is_not(monkeypatch):
    seconds(monkeypatch, [2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    fastest.fastest(CONFIG)
    assert fastest.measured_here() == {"compact, 32 pixels, 2 a step": "mixed_bfloat16 2.00 s, float32 1.00 s"}
    monkeypatch.setattr(fastest.processor, "name", lambda: "another")
    assert fastest.measured_here() == {}


def test_rounds_that_contradict_each_other_give_the_safe_choice_and_are_not_kept(monkeypatch, home):
    seconds(monkeypatch, [1.0, 3.0, 1.0], [2.0, 2.0, 2.0])
    chosen = fastest.fastest(CONFIG)
    assert chosen.precision == "float32"
    assert "safe" in chosen.why
    assert not home.exists()


def test_work_that_was_begun_goes_on_in_the_way_that_it_recorded(monkeypatch, tmp_path):
    seconds(monkeypatch, [2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    file = tmp_path / "execution.json"
    began = fastest.fastest_for(file, CONFIG)
    asked = seconds(monkeypatch, [1.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    monkeypatch.setattr(fastest.processor, "name", lambda: "another")
    assert fastest.fastest_for(file, CONFIG) == began
    assert not asked
    file.write_text('{"precision": "float32"}')
    with pytest.raises(InputError, match=r"is damaged .*; remove it"):
        fastest.fastest_for(file, CONFIG)


def test_a_damaged_file_is_measured_again(monkeypatch, home):
    asked = seconds(monkeypatch, [1.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    home.parent.mkdir()
    home.write_text('{"x": 3')
    assert fastest.fastest(CONFIG).precision == "mixed_bfloat16"
    assert len(asked) == 1


@pytest.fixture
def clock(monkeypatch):
    """Seconds that only steps let pass, in the clock of the module."""
    now = [0.0]
    monkeypatch.setattr(fastest, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return now


def step(clock, name, ran, *seconds):
    """A step that takes so many seconds each time, and notes its name."""
    left = iter(seconds)

    def run():
        ran.append(name)
        clock[0] += next(left)

    return run


def test_steps_take_turns_and_each_has_its_own_seconds(clock):
    ran = []
    steps = [step(clock, "a", ran, 1.0, 2.0), step(clock, "b", ran, 4.0, 8.0)]
    assert fastest.seconds_in_turn(steps, 2) == [[1.0, 2.0], [4.0, 8.0]]
    assert ran == ["a", "b", "a", "b"]


def test_the_step_that_compiles_is_run_but_not_timed(clock, monkeypatch):
    ran, taken = [], {way: [100.0, *(number + 0.5 for number in range(fastest.ROUNDS))] for way in WAYS}
    monkeypatch.setattr(fastest, "_step", lambda config, way: step(clock, way, ran, *taken[way]))
    assert fastest._measured(CONFIG, WAYS) == [taken[way][1:] for way in WAYS]
    assert ran == WAYS * (1 + fastest.ROUNDS)
