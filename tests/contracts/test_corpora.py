"""What `make fuzz` begins with: inputs of targets that exist, and few enough for a repository."""

import zipfile
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz"
CORPORA = sorted((FUZZ / "corpora").glob("*"))


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda path: path.stem)
def test_corpus_is_small_and_of_a_target(corpus):
    module, target = corpus.stem.split(".", 1)
    assert f"def test_{target}(" in (FUZZ / f"test_{module}.py").read_text(encoding="utf-8")
    with zipfile.ZipFile(corpus) as opened:
        assert 0 < sum(member.file_size for member in opened.infolist()) <= 16 << 10
