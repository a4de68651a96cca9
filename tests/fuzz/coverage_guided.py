"""Coverage-guided fuzzing: libFuzzer, through Atheris, makes the input of every Hypothesis test in this folder.

It keeps an input that reaches a branch which no input before it reached, and changes it further. Where a test asks
for a changed file (`mutated`), libFuzzer's bytes are that file, and it begins with the valid files of the test;
all other choices of a test are made from the last bytes of the input. The oracles are those of the tests.

    python tests/fuzz/coverage_guided.py --minutes 60 [-k WORDS]    every target, or those that pytest selects
    python tests/fuzz/coverage_guided.py --input FILE TARGET        one input again, with its traceback

Inputs that reached something new are kept in `.fuzz/` and begin the next run; one that failed is named there too.
With `--keep` the smallest of them that reach as much go into `corpora/` of this folder, with which every run begins.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".fuzz"
CORPORA = Path(__file__).parent / "corpora"
MOST_KEPT = 16 << 10  # bytes of a target's inputs in the repository
INSTRUMENTED = ["pneumo_tfds", "pipeline", "tuning", "export", "pydicom", "python_multipart", "tomllib", "zipfile"]
CHOICES = 128
"""Bytes at the end of an input that make the choices of a test beside its file."""
MOST_MEMORY = 1 << 10  # MB that one process may grow by
SLOWEST = 60  # seconds for one case; they take milliseconds, but the machine may be busy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="for each target")
    parser.add_argument("--input", type=Path, help="run this input alone")
    parser.add_argument("--keep", action="store_true", help="put the smallest inputs into tests/fuzz/corpora")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)  # the process of one target
    parser.add_argument("--flags", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)  # likewise: libFuzzer's own
    parser.add_argument("-k", default="", help="as pytest takes it")
    parser.add_argument("target", nargs="?", default="tests/fuzz", help="a file, or FILE::TEST")
    chosen = parser.parse_args()
    if chosen.run or chosen.input:
        return in_this_process(chosen.target, chosen.minutes, chosen.input, chosen.flags)
    found = []
    for target in targets(chosen.target, chosen.k):
        found.append(run(target, chosen.minutes))
        if chosen.keep:
            keep(target)
    print(f"{sum(found)} of {len(found)} targets without a find")
    return 0 if found and all(found) else 1


def targets(where: str, words: str) -> list[str]:
    """Return the Hypothesis tests that pytest selects; those that are skipped here fail there."""
    line = [sys.executable, "-m", "pytest", where, "-k", words, "-m", "hypothesis", "--collect-only", "-q"]
    printed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return re.findall(r"^tests/\S+::\S+", printed, re.MULTILINE)


def run(target: str, minutes: float) -> bool:
    """Fuzz one target in a process of its own, print one line, and return whether there was no find."""
    line = [sys.executable, __file__, "--run", "--minutes", str(minutes), target]
    start, folder = time.monotonic(), folder_of(target)
    folder.mkdir(parents=True, exist_ok=True)
    if corpus_of(target).exists():
        with zipfile.ZipFile(corpus_of(target)) as opened:
            opened.extractall(folder / "corpus")
    with (folder / "log.txt").open("w") as log:
        code = subprocess.run(line, cwd=ROOT, stdout=log, stderr=log, check=False).returncode
    printed = (folder / "log.txt").read_text(errors="replace")
    (cases,) = re.findall(r"^stat::number_of_executed_units: +(\d+)", printed, re.MULTILINE) or ["?"]
    reached = (re.findall(r"cov: (\d+)", printed) or ["?"])[-1]
    ended = "no find" if code == 0 and cases != "?" else f"FAILED: see {(folder / 'log.txt').relative_to(ROOT)}"
    print(f"{target}: {cases} cases in {time.monotonic() - start:.0f} s, {reached} branches, {ended}", flush=True)
    return ended == "no find"


def keep(target: str) -> None:
    """Put the fewest inputs that reach all that a target's inputs reach into the repository, the smallest first."""
    with tempfile.TemporaryDirectory() as temporary:
        few, again = Path(temporary, "few"), Path(temporary, "again")
        few.mkdir()
        again.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" --run "{target}" --flags "$0" "$@"\n')
        again.chmod(0o700)  # libFuzzer merges in processes of its own, which it starts by their name
        line = [again, "-merge=1", few, folder_of(target) / "corpus"]
        with (folder_of(target) / "log.txt").open("a") as log:
            subprocess.run(line, cwd=ROOT, stdout=log, stderr=log, check=True)
        inputs = sorted((path.read_bytes() for path in few.iterdir()), key=lambda data: (len(data), data))
    fitting = [data for data, size in zip(inputs, accumulate(map(len, inputs)), strict=True) if size <= MOST_KEPT]
    CORPORA.mkdir(exist_ok=True)
    with zipfile.ZipFile(corpus_of(target), "w") as written:
        for number, data in enumerate(fitting):
            info = zipfile.ZipInfo(f"kept_{number}")  # without the time, so that equal inputs are equal bytes
            written.writestr(info, data, zipfile.ZIP_DEFLATED)
    print(f"  kept {len(fitting)} of {len(inputs)} inputs", flush=True)


def folder_of(target: str) -> Path:
    return KEPT / target.removeprefix("tests/fuzz/test_").replace(".py::test_", ".")


def corpus_of(target: str) -> Path:
    return CORPORA / f"{folder_of(target).name}.zip"


def in_this_process(target: str, minutes: float, file: Path | None, flags: list[str] | None) -> int:
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        plugin = Target(folder_of(target), minutes, file, flags)
        return int(pytest.main([target, "-q", "-s", "-p", "no:cacheprovider"], plugins=[plugin]))


class Target:
    """A plugin of pytest that runs a Hypothesis test on libFuzzer's bytes, with the test's own fixtures."""

    def __init__(self, folder: Path, minutes: float, file: Path | None, flags: list[str] | None):
        self._folder, self._minutes, self._input, self._flags = folder, minutes, file, flags
        self._file, self._originals = b"", set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem):
        handle = pyfuncitem.obj.hypothesis
        inner, names = handle.inner_test, pyfuncitem._fixtureinfo.argnames
        fixtures = {name: pyfuncitem.funcargs[name] for name in names}
        if "mutated" in fixtures:
            fixtures["mutated"] = self._mutated

        @settings(database=None)
        @given(**handle._given_kwargs)
        def test(**drawn):
            inner(**fixtures, **drawn)

        self._ask = test.hypothesis.fuzz_one_input
        if self._input:
            self._learn()
            self._one(self._input.read_bytes())
        else:
            self._fuzz()
        return True

    def _mutated(self, originals, most=0):
        self._originals.update(originals)
        return st.builds(lambda: self._file)

    def _learn(self):
        """Find out which valid files the test begins with, and return some choices that it takes."""
        chance = random.Random(0)
        choices = [bytes(CHOICES), *(chance.randbytes(CHOICES * 8) for _ in range(30))]
        for each in choices:
            self._ask(each)
        return choices

    def _one(self, data):
        if self._originals:
            self._file, data = data[:-CHOICES], data[-CHOICES:]
        self._ask(data)

    def _fuzz(self):
        import atheris

        choices, corpus = self._learn(), self._folder / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        starts = [file + each[:CHOICES] for file in self._originals for each in choices[:4]] or choices
        for number, content in enumerate(starts):
            (corpus / f"start_{number}").write_bytes(content)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        flags = {
            "max_total_time": round(self._minutes * 60), "timeout": SLOWEST, "rss_limit_mb": grown + MOST_MEMORY,
            "artifact_prefix": f"{self._folder}{os.sep}", "print_final_stats": 1, "len_control": 0,
        }  # fmt: skip
        line = [sys.argv[0], *(f"-{name}={value}" for name, value in flags.items()), str(corpus)]
        atheris.Setup(self._flags or line, self._one)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # this copy, whatever is installed
    sys.exit(main())
