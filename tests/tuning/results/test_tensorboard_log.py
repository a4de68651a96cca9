"""TensorBoard's HParams logs: read back by TensorBoard itself where it is installed, and by TensorFlow anyway."""

from __future__ import annotations

import struct

import pytest

import stub_search as stub
from tuning.results import leaderboard
from tuning.results.tensorboard_log import EVENTS, write_hparams
from tuning.search.objective import parse_objective


@pytest.fixture
def written(plan, search, tmp_path):
    """A search of four trials, of which the third fails, written down; gives the folder, the plan and the rows."""

    def train(config, *, description, **keywords):
        if "3/" in description:
            raise ZeroDivisionError("no")
        return stub.training()(config, description=description, **keywords)

    made = plan(max_trials=4)
    search(made, train).search()
    rows = leaderboard.rows(search.trials, parse_objective("validation_auroc"))
    write_hparams(tmp_path / "tensorboard", search.trials, made, rows)
    return tmp_path / "tensorboard", made, rows


def events(path):
    import tensorflow as tf

    return [
        tf.compat.v1.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path / EVENTS)).skip(1)
    ]


def test_a_trials_curves_and_its_objective_are_scalars(written):
    folder, _, rows = written
    best = rows[0]
    found = {}
    for event in events(folder / f"trial_{best.trial:03d}"):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert [step for step, _ in found["validation_auroc"]] == [1, 2, 3]
    assert [value for _, value in found["validation_auroc"]] == pytest.approx(list(best.curve))
    assert found["objective"] == [(3, pytest.approx(best.score))]


def test_a_trials_values_are_in_its_log_to_the_last_bit(written):
    folder, _, rows = written
    for row in rows:
        started = events(folder / f"trial_{row.trial:03d}")[0].summary.value[0]
        assert started.metadata.plugin_data.plugin_name == "hparams"
        for name, value in row.values.items():
            assert name.encode() in started.metadata.plugin_data.content
            assert struct.pack("<d", value) in started.metadata.plugin_data.content


def test_what_is_written_is_not_written_again(written, search):
    folder, made, rows = written
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("events*")}
    assert len(before) == 5
    write_hparams(folder, search.trials, made, rows)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("events*")} == before


def test_tensorboard_shows_every_trial_with_its_values_and_its_end(written):
    pytest.importorskip("tensorboard", reason="needs tensorboard, as the dev extra installs it")
    from tensorboard import context
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    folder, made, rows = written
    events = EventMultiplexer().AddRunsFromDirectory(str(folder))
    events.Reload()
    here = TBContext(logdir=str(folder), data_provider=MultiplexerDataProvider(events, str(folder)))
    hparams, asked = backend_context.Context(here), context.RequestContext()

    experiment = hparams.experiment_from_metadata(
        asked, "", True, hparams.hparams_metadata(asked, ""), hparams.hparams_from_data_provider(asked, "", 100)
    )
    ranges = {info.name: info.domain_interval for info in experiment.hparam_infos}
    assert {name: span.max_value for name, span in ranges.items()} == {p.name: p.high for p in made.parameters}
    assert ranges["l1"].min_value == 0  # zero is tried besides the log scale
    assert next(iter(experiment.metric_infos)).display_name == "validation_auroc"

    wanted = api_pb2.ListSessionGroupsRequest(
        experiment_name="",
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
        start_index=0,
        slice_size=100,
    )
    wanted.col_params.add().hparam = "learning_rate"
    shown = list_session_groups.Handler(asked, hparams, "", wanted).run().session_groups
    by_name = {group.name: group for group in shown}
    assert sorted(by_name) == ["trial 1", "trial 2", "trial 3", "trial 4"]
    for row in rows:
        group = by_name[f"trial {row.trial}"]
        assert {name: value.number_value for name, value in group.hparams.items()} == row.values
        scores = {value.name.tag: value.value for value in group.metric_values}
        assert scores.get("objective") == (None if row.score is None else pytest.approx(row.score))
        wanted_status = api_pb2.STATUS_FAILURE if row.status == "failed" else api_pb2.STATUS_SUCCESS
        assert group.sessions[0].status == wanted_status
