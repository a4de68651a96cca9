"""What the library may not do at all: run what is in a file, unpack archives, listen to strangers, fetch unasked."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imported_names import calls_of, imported_names

ROOT = Path(__file__).parents[2]
PACKAGES = ("pneumo_tfds", "pipeline", "tuning", "export", "benchmarks")
FILES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts
)

RUNS_WHAT_IT_READS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
UNSAFE_CALLS = {
    "eval", "exec", "compile", "__import__",  # text that runs
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",  # a shell
    "torch.load", "keras.config.enable_unsafe_deserialization", "tempfile.mktemp", "ssl._create_unverified_context",
}  # fmt: skip
UNPACKS = {"extract", "extractall", "unpack_archive"}
MUST_SAY = {
    "numpy.load": ("allow_pickle", False),
    "keras.models.load_model": ("safe_mode", True),
    "jinja2.Environment": ("autoescape", True),
}
NETWORK = {
    "socket",
    "urllib.request",
    "http.client",
    "http.server",
    "requests",
    "ftplib",
    "smtplib",
    "aiohttp",
    "httpx",
    "uvicorn",
}
MAY_USE_THE_NETWORK = {
    "pneumo_tfds/published.py": "fetches the archive with --download",
    "pipeline/data/batches.py": "asks the service that --data-service names",
    "tuning/search/kerastuner_roles.py": "chief and workers of one search",
    "export/serve/__main__.py": "the service",
    "export/serve/closing_server.py": "the same, as it ends",
    "export/watching/dicomweb_archive.py": "asks the archive that --source or --out names",
    "export/web/server.py": "the page",
    "benchmarks/serve_speed.py": "asks the service that it starts, on the loopback address",
}


def nodes(kind):
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                yield path.relative_to(ROOT).as_posix(), node


def calls():
    for path in FILES:
        yield from ((path.relative_to(ROOT).as_posix(), *call) for call in calls_of(path.read_text(encoding="utf-8")))


def imports():
    for path, node in nodes((ast.Import, ast.ImportFrom)):
        yield from ((path, name) for name in imported_names(node).values())


def is_of(name, modules):
    """Whether a dotted name is one of the modules, or is in one of them."""
    parts = name.split(".")
    return any(".".join(parts[:count]) in modules for count in range(1, len(parts) + 1))


def test_no_spelling_of_an_import_hides_what_is_called():
    """The rules below see `from os import system` as they see `os.system`."""
    assert [name for name, _ in calls_of("import os\nos.system('x')")] == ["os.system"]
    assert [name for name, _ in calls_of("from os import system as run\nrun('x')")] == ["os.system"]
    assert [name for name, _ in calls_of("import os as o\no.system('x')")] == ["os.system"]
    assert [name for name, _ in calls_of("def f():\n    from numpy import load\n    load('x')")] == ["numpy.load"]
    (name, words), *_ = calls_of("from keras.models import load_model\nload_model('x', safe_mode=False)")
    assert (name, words["safe_mode"].value) == ("keras.models.load_model", False)
    (node,) = ast.parse("from urllib import request as r, parse").body
    assert imported_names(node) == {"r": "urllib.request", "parse": "urllib.parse"}
    assert is_of("http.client.HTTPConnection", {"http.client"})
    assert not is_of("http.cookies", {"http.client"})


def test_nothing_is_imported_that_runs_what_it_reads():
    assert [(path, name) for path, name in imports() if is_of(name, RUNS_WHAT_IT_READS)] == []


def test_no_unsafe_call():
    found = [(path, name) for path, name, _ in calls() if name in UNSAFE_CALLS or name.split(".")[-1] in UNPACKS]
    assert found == []


def test_no_shell():
    assert [path for path, _, words in calls() if "shell" in words] == []


@pytest.mark.parametrize("function", MUST_SAY)
def test_loading_and_templates_say_that_they_are_safe(function):
    word, value = MUST_SAY[function]
    found = [(path, words) for path, name, words in calls() if name == function]
    assert found
    for path, words in found:
        assert isinstance(words.get(word), ast.Constant), path
        assert words[word].value is value, path


def test_only_named_modules_use_the_network():
    users = {path for path, name in imports() if is_of(name, NETWORK)}
    assert users <= set(MAY_USE_THE_NETWORK)


def test_onnxruntime_is_told_to_send_nothing_before_it_is_imported():
    """Found by the counters of tests/pipeline/test_private_and_offline.py."""
    importers = {path for path, name in imports() if name.split(".")[0] == "onnxruntime"}
    assert importers
    assert {path.split("/")[0] for path in importers} == {"export", "pipeline"}
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    for package in ("export", "pipeline"):
        program = (
            f"import os, sys, {package}; "
            "sys.exit('onnxruntime' in sys.modules or os.environ['ORT_DISABLE_TELEMETRY'] != '1')"
        )
        assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=False).returncode == 0


def test_nothing_listens_to_other_machines_by_default():
    everywhere = {"0.0.0.0", "::", "[::]"}
    assert [path for path, node in nodes(ast.Constant) if node.value in everywhere] == []
    from export.serve.__main__ import Serve
    from export.web.server import HOST
    from tuning.search.kerastuner_roles import ADDRESS, environment

    assert Serve(models=("m.onnx",)).host == HOST == environment("chief", 1)[ADDRESS] == "127.0.0.1"


def test_reading_a_source_writes_nothing_beside_it(tmp_path):
    """A zip is read where it lies."""
    import zipfile

    from pneumo_tfds.sources.opening import open_source

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("NORMAL/link.jpeg")
        link.external_attr = 0o120777 << 16  # a symbolic link, were it unpacked
        archive.writestr(link, "/etc/passwd")
        device = zipfile.ZipInfo("PNEUMONIA/device.png")
        device.external_attr = 0o020666 << 16
        archive.writestr(device, b"")
    source = open_source(tmp_path / "a.zip")
    assert [source.read(image) for image in source.images] == [b"/etc/passwd", b""]
    assert os.listdir(tmp_path) == ["a.zip"]
