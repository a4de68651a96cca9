"""What README and docs say leads somewhere: links, commands, flags and file names are those of the project."""

import contextlib
import functools
import importlib.util
import io
import re
import runpy
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from pneumo_tfds.console_script import COMMANDS

ROOT = Path(__file__).parents[2]
PACKAGES = ("pneumo_tfds", "pipeline", "tuning", "export", "benchmarks")
HISTORY = ROOT / "CHANGELOG.md"  # names what is gone, too
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BAD_INPUTS = ROOT / "docs" / "reference" / "bad-inputs.md"  # shows flags that do not exist, on purpose
LONGEST_README = 90
FOREIGN_FLAGS = {"--long"}  # of pytest, in code of their own

FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:python|bin/python) -m ((?:" + "|".join(PACKAGES) + r")[\w.]*)([^`\n]*)")
SHORT = re.compile(r"(?:^|`|\$ |\()pneumo ([a-z][\w-]*)([^`\n]*)", re.MULTILINE)
DATASET = re.compile(r"pneumo_tfds/(?:gray|phantom)_\w+")
SUBCOMMANDS = {name: target.partition(":")[0].removesuffix(".__main__") for name, target in COMMANDS.items()}
SHELL = {"|", ">", ">>", "<", ";", "&&", "||", "&", "\\"}


def name(page):
    return str(page.relative_to(ROOT))


def prose(page):
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page):
    """The anchors of a page's headings, as code hosts and MkDocs make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", LINK.sub("", heading).lower()).strip().replace(" ", "-") for heading in headings}


def commands(page):
    """Module and arguments of every `python -m ...` that runs a module of the project, and of every `pneumo ...`."""
    text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
    text = re.sub(r"python -m\n\s*", "python -m ", text)
    short = [(SUBCOMMANDS.get(name, f"pneumo_{name}"), name, rest) for name, rest in SHORT.findall(text)]
    short = [(module, f"{name} {rest}" if module == "pneumo_tfds" else rest) for module, name, rest in short]
    for module, rest in [*COMMAND.findall(text), *short]:
        words = shlex.split(rest.split("  #")[0].replace("\\|", "|").replace("'", ""), comments=True)
        end = next((place for place, word in enumerate(words) if word in SHELL), len(words))
        yield module.rstrip("."), words[:end]


@functools.cache
def usage(module, *subcommand):
    """What `--help` of a command prints."""
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # with an encoding, for the frames around the flags
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a module that another test imported is run again
        patch.setattr(sys, "argv", [module, *subcommand, "--help"])
        patch.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as left:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert not left.value.code, f"python -m {module} --help failed"
    printed.seek(0)
    return printed.read()


def flags(module, words=()):
    """The flags that a command knows, its subcommand included."""
    if importlib.util.find_spec(module) is None:
        return set()
    text = usage(module)
    if "subcommands" in text and words and words[0] in re.findall(r"• (\w+)", text):
        text += usage(module, words[0])
    listed = re.findall(r"│ ((?:-\w, )?--[\w-]+(?:, --[\w-]+)*)", text)
    return set(re.findall(r"--[\w-]+", " ".join(listed)))


@functools.cache
def all_flags():
    """The flags of every command that the pages show."""
    shown = {(module, words[0] if words else "") for page in PAGES for module, words in commands(page)}
    return set().union(*(flags(module, (word,)) for module, word in shown))


@pytest.mark.parametrize("page", [*PAGES, HISTORY], ids=name)
def test_links_lead_to_something(page):
    broken = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken, broken


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist_and_know_their_flags(page):
    wrong = []
    for module, words in commands(page):
        if importlib.util.find_spec(module) is None:
            wrong.append(f"python -m {module}")
            continue
        given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        wrong += [f"python -m {module} {flag}" for flag in sorted(given - flags(module, words))]
    assert not wrong, wrong


@pytest.mark.parametrize("page", [page for page in PAGES if page != BAD_INPUTS], ids=name)
def test_flags_in_the_text_are_flags_of_a_command(page):
    found = {
        flag for code in CODE.findall(prose(page)) if code.startswith("--") for flag in re.findall(r"--[\w-]+", code)
    }
    unknown = found - all_flags() - FOREIGN_FLAGS
    assert not unknown, unknown


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_and_modules_that_are_named_exist(page):
    text, missing = prose(page), []
    for code in CODE.findall(text):
        if re.fullmatch(r"(?:" + "|".join((*PACKAGES, "tests", "docs")) + r")/[\w./-]+", code):
            missing += [] if (ROOT / code).exists() or DATASET.fullmatch(code) else [code]
        elif re.fullmatch(r"(?:" + "|".join(PACKAGES) + r")(?:\.\w+)+", code):
            missing += [] if exists(code) else [code]
    for what, path in re.findall(r"`(\w+)` (?:in|of) `([\w/]+\.py)`", text):
        missing += (
            []
            if (ROOT / path).exists() and what in (ROOT / path).read_text(encoding="utf-8")
            else [f"{what} in {path}"]
        )
    assert not missing, missing


@pytest.mark.parametrize("page", [ROOT / "SECURITY.md", ROOT / "docs/explanation/reliability.md"], ids=name)
def test_every_promise_names_a_test_or_a_file_that_is_there(page):
    """Shorter than from the root, too: `test_security.py`, `limits.py`, or a function of a test."""
    ours = [path for part in (*PACKAGES, "tests") for path in (ROOT / part).rglob("*.py")]
    known = {path.name for path in ours}
    for path in (ROOT / "tests").rglob("test_*.py"):
        known |= set(re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")))
    named = {code for code in CODE.findall(prose(page)) if re.fullmatch(r"\w+\.py|test_\w+", code)}
    assert named
    assert named <= known


def exists(dotted):
    """Whether a dotted name is a module, or a name that a module has."""
    module, _, attribute = dotted.rpartition(".")
    for path in (Path(*dotted.split(".")), Path(*module.split("."))):
        for file in (ROOT / path.with_suffix(".py"), ROOT / path / "__init__.py"):
            if file.exists() and (path == Path(*dotted.split(".")) or attribute in file.read_text(encoding="utf-8")):
                return True
    return False


def test_pages_that_the_code_names_exist():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for page in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8")):
                assert (ROOT / page).exists(), f"{path.relative_to(ROOT)} names {page}"


def test_every_setting_of_a_run_is_described():
    described = (ROOT / "docs/reference/settings.md").read_text() + (ROOT / "docs/reference/commands.md").read_text()
    settings = {flag for flag in flags("pipeline.train") if not flag.startswith("--no-")} - {"--help"}
    missing = {flag for flag in settings if f"`{flag}" not in described}
    assert not missing, missing


def test_readme_is_a_front_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the docs extra")
def test_the_site_builds_without_a_warning(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    ended = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
