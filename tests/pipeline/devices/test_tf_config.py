"""TF_CONFIG: which process is the chief, and what is refused."""

import json

import pytest

from pipeline import train
from pipeline.config import SearchConfig
from pipeline.devices.tf_config import Cluster, read_cluster
from pneumo_tfds.program.errors import InputError


@pytest.fixture
def set_cluster(monkeypatch):
    def set_to(cluster, kind, index):
        task = {"type": kind, "index": index}
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))

    return set_to


@pytest.mark.parametrize("value", [None, ""])
def test_process_without_tf_config_is_alone_and_its_own_chief(monkeypatch, value):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_CONFIG", value)
    assert read_cluster() == Cluster(1, 0)
    assert read_cluster().chief


def test_first_worker_is_the_chief_where_none_is_named(set_cluster):
    hosts = {"worker": ["a:1", "b:1", "c:1"]}
    set_cluster(hosts, "worker", 0)
    assert read_cluster() == Cluster(3, 0)
    set_cluster(hosts, "worker", 2)
    assert read_cluster() == Cluster(3, 2)
    assert not read_cluster().chief


def test_named_chief_comes_before_the_workers(set_cluster):
    hosts = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    set_cluster(hosts, "chief", 0)
    assert read_cluster() == Cluster(3, 0)
    set_cluster(hosts, "worker", 0)
    assert read_cluster() == Cluster(3, 1)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"cluster": {}}', '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker"}}', "7"]
)
def test_text_that_is_no_tf_config_is_refused_with_an_example(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=r"TF_CONFIG cannot be read.*the format is"):
        read_cluster()


@pytest.mark.parametrize(("kind", "index"), [("worker", 2), ("worker", -1), ("chief", 0), ("ps", 0), ("evaluator", 0)])
def test_task_that_is_not_in_the_cluster_is_refused(set_cluster, kind, index):
    set_cluster({"worker": ["a:1", "b:1"], "ps": ["c:1"]}, kind, index)
    with pytest.raises(InputError, match=f"TF_CONFIG has no {kind} {index}"):
        read_cluster()


@pytest.mark.parametrize("index", [0, 1])
def test_workers_are_refused_without_a_common_run_folder_and_with_a_search(set_cluster, tmp_path, index):
    set_cluster({"worker": ["a:1", "b:1"]}, "worker", index)
    with pytest.raises(InputError, match="--run-dir"):
        train.train(train.Train())
    with pytest.raises(InputError, match="--tune searches on one machine"):
        train.train(train.Train(run_dir=tmp_path / "run", search=SearchConfig(tune=True)))


def test_worker_that_is_not_the_chief_takes_part_and_writes_nothing(set_cluster, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(train, "with_dataset", lambda config: config)
    monkeypatch.setattr("pipeline.stages.fit_and_judge.train_as_worker", lambda folder, config: taken.append(config))
    set_cluster({"worker": ["a:1", "b:1"]}, "worker", 1)
    command = train.Train(run_dir=tmp_path / "run")
    assert train.train(command) is None
    assert taken == [command.settings()]
    assert list(tmp_path.iterdir()) == []
