"""What TensorFlow, Keras and OpenCV are told before they are imported, in processes of their own."""

import ast
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pneumo_tfds.program.cores_and_memory import affinity_cores

ROOT = Path(__file__).parents[3]
PACKAGES = ("pipeline", "tuning", "export", "benchmarks")
OURS = ("TF_ENABLE_ONEDNN_OPTS", "KERAS_BACKEND", "KERAS_HOME", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
X86 = platform.machine().lower() in ("x86_64", "amd64")
SHOW_KERAS = """
import keras
print(keras.config.backend(), keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon(),
      keras.config.dtype_policy().name)
"""
GOOD = "tensorflow float32 channels_last 1e-07 float32\n"


@pytest.fixture
def python(tmp_path):
    """Run a program in a new process, with the variables that are given and with none of those that we set."""

    def run(program, **variables):
        environment = {name: value for name, value in os.environ.items() if name not in OURS}
        environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"} | variables
        ended = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        said = [line for line in ended.stderr.splitlines() if line.startswith("pneumo: ")]
        return ended.stdout, said

    return run


@pytest.mark.parametrize("package", ["pipeline", "tuning", "benchmarks", "export.graph", "export.parity"])
def test_importing_a_package_that_computes_sets_the_variables_and_imports_no_tensorflow(package, python):
    printed, said = python(
        f"import {package}, os, sys\n"
        "print(os.environ['KERAS_BACKEND'], os.environ.get('TF_ENABLE_ONEDNN_OPTS'), 'tensorflow' in sys.modules)"
    )
    assert printed == f"tensorflow {'1' if X86 else None} False\n"
    assert said == []


@pytest.mark.parametrize("package", ["pneumo_tfds", "export"])
def test_importing_the_dataset_or_the_prediction_leaves_keras_to_the_user(package, python):
    printed, _ = python(f"import {package}, os; print(os.environ['KERAS_BACKEND'])", KERAS_BACKEND="jax")
    assert printed == "jax\n"


def test_every_module_that_imports_tensorflow_lies_in_a_package_that_prepares_it():
    heavy = {"tensorflow", "keras", "keras_tuner", "tf2onnx"}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        if heavy & {name.split(".")[0] for name in names}:
            packages = [folder / "__init__.py" for folder in path.parents if ROOT in folder.parents]
            assert any("\nprepare_tensorflow()\n" in package.read_text() for package in packages), path


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="oneDNN is left to TensorFlow elsewhere")
@pytest.mark.parametrize(("given", "on"), [({}, True), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, False)])
def test_onednn_is_on_unless_the_user_turned_it_off(given, on, python):
    program = (
        "from pneumo_tfds.program.quiet import quiet_tensorflow; quiet_tensorflow()\n"
        "from pneumo_tfds.program.libraries import onednn_is_on; print(onednn_is_on())"
    )
    assert python(program, **given) == (f"{on}\n", [])


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="oneDNN is left to TensorFlow elsewhere")
def test_tensorflow_that_was_imported_first_without_onednn_is_reported_once_and_work_goes_on(python):
    program = (
        "import tensorflow, os\n"
        "del os.environ['TF_ENABLE_ONEDNN_OPTS']\n"  # as on a CPU for which TensorFlow leaves oneDNN off
        "import pipeline, tuning\n"
        "from pneumo_tfds.program.quiet import quiet_tensorflow; quiet_tensorflow()"
    )
    _, said = python(program, TF_ENABLE_ONEDNN_OPTS="0")
    assert len(said) == 1
    assert "TensorFlow was imported before pneumo, without oneDNN" in said[0]


@pytest.mark.slow
def test_another_keras_backend_is_overruled_and_named_once(python):
    program = "from pneumo_tfds.program.quiet import quiet_tensorflow; quiet_tensorflow(); import pipeline.networks"
    printed, said = python(program + SHOW_KERAS, KERAS_BACKEND="jax")
    assert printed == GOOD
    assert said == ["pneumo: KERAS_BACKEND is jax; pneumo needs TensorFlow and uses that"]


KERAS_JSON = [
    ('{"backend": "jax"}', ""),
    ('{"floatx": "float32", "epsilon": 1e-07, "image_data_format": "channels_last"}', ""),
    (
        '{"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"}',
        "sets floatx, epsilon, image",
    ),
    ('{"floatx": "float8", "epsilon": "small"}', "sets floatx, epsilon"),
    ('{"nnx_enabled": true}', "sets nnx_enabled"),
    ('{"floatx": ', "cannot be read"),
    ("[1, 2]", "holds no settings"),
    ("[" * 100_000, "cannot be read"),
    ("", "cannot be read"),
]


@pytest.mark.parametrize(("settings", "reason"), KERAS_JSON)
def test_keras_json_that_would_change_or_end_something_is_not_read(settings, reason, python, tmp_path):
    place = tmp_path / "keras.json"
    place.write_text(settings)
    program = (
        "import pipeline, os; from pneumo_tfds.program.libraries import say; say(); print(os.environ['KERAS_HOME'])"
    )
    printed, said = python(program, KERAS_HOME=str(tmp_path))
    assert printed == f"{tmp_path / 'cache' / 'pneumo' / 'keras' if reason else tmp_path}\n"
    assert len(said) == bool(reason)
    assert all(f"{place} {reason}" in line for line in said)
    assert place.read_text() == settings


@pytest.mark.slow
@pytest.mark.parametrize("settings", ['{"backend": "jax"}', KERAS_JSON[2][0], "a folder"])
def test_no_keras_json_of_the_user_changes_or_ends_anything(settings, python, tmp_path):
    place = tmp_path / "keras.json"
    if settings == "a folder":
        place.mkdir()
    else:
        place.write_text(settings)
    printed, _ = python("import pipeline.networks, tensorflow" + SHOW_KERAS, KERAS_HOME=str(tmp_path))
    assert printed == GOOD


@pytest.mark.slow
def test_keras_that_was_imported_first_gets_the_settings_that_are_needed(python, tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"floatx": "float16", "image_data_format": "channels_first"}))
    printed, _ = python("import keras, pipeline.networks" + SHOW_KERAS, KERAS_HOME=str(tmp_path))
    assert printed == GOOD


@pytest.mark.slow
@pytest.mark.skipif(affinity_cores() < 2, reason="needs two cores")
@pytest.mark.parametrize(("given", "threads"), [({}, "1 1 1"), ({"TF_NUM_INTRAOP_THREADS": "2"}, "0 1 1")])
def test_tensorflow_and_opencv_keep_to_a_quota(given, threads, python, tmp_path):
    (tmp_path / "cgroup").write_text("0::/\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    program = f"""
from pathlib import Path
from pneumo_tfds.program import cores_and_memory, libraries
cores_and_memory.PROCESS_GROUPS, cores_and_memory.MOUNTED = Path({str(tmp_path)!r}, "cgroup"), Path({str(tmp_path)!r})
libraries.ask_for_few_threads()
import pipeline.networks, cv2
import tensorflow as tf
threading = tf.config.threading
print(threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads(), cv2.getNumThreads())
"""
    assert python(program, **given)[0] == threads + "\n"
