"""What the library may not do at all: run what is in a file, unpack archives, listen to strangers, fetch unasked."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    "np.load": ("allow_pickle", False),
    "keras.models.load_model": ("safe_mode", True),
    "Environment": ("autoescape", True),
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
    for path, node in nodes(ast.Call):
        yield path, ast.unparse(node.func), {word.arg: word.value for word in node.keywords}


def imports():
    for path, node in nodes((ast.Import, ast.ImportFrom)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        yield from ((path, name) for name in names)


def test_nothing_is_imported_that_runs_what_it_reads():
    assert [(path, name) for path, name in imports() if name.split(".")[0] in RUNS_WHAT_IT_READS] == []


def test_no_unsafe_call():
    found = [(path, name) for path, name, _ in calls() if name in UNSAFE_CALLS or name.split(".")[-1] in UNPACKS]
    assert found == []


def test_no_shell():
    assert [path for path, _, words in calls() if "shell" in words] == []


@pytest.mark.parametrize("function", MUST_SAY)
def test_loading_and_templates_say_that_they_are_safe(function):
    word, value = MUST_SAY[function]
    found = [(path, words) for path, name, words in calls() if name in (function, function.replace("np.", "numpy."))]
    assert found
    for path, words in found:
        assert isinstance(words.get(word), ast.Constant), path
        assert words[word].value is value, path


def test_only_named_modules_use_the_network():
    users = {path for path, name in imports() if name in NETWORK or name.split(".")[0] in NETWORK}
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
