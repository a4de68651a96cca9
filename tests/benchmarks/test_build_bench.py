"""The build benchmark: its contenders do the same work on the same files."""

import pytest

from benchmarks import build
from benchmarks.pictures import Pictures
from pneumo_tfds.phantoms import write_phantoms
from pneumo_tfds.sources import open_source


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder / "drawn", 60)
    return Pictures("phantoms", folder / "drawn")


def test_files_are_repeated_under_names_of_their_own(found):
    source = build._repeated(found.source, 150)
    assert len({image.name for image in source.images}) == 150
    assert source.read(source.images[0]) == found.source.read(build._original(source, source.images[0]))
    few = build._repeated(found.source, 30)
    assert {image.label for image in few.images} == {"NORMAL", "PNEUMONIA"}


def test_our_contender_builds_every_image(found):
    source = build._repeated(found.source, 90)
    assert build._ours(source, 1) == build._ours(source, 2) == 90


def test_the_limit_decodes_at_the_scale_that_we_do(found):
    files = [(found.folder / image.name, 0) for image in open_source(found.folder).images[:3]]
    for path, _ in files:
        from pneumo_tfds.decode import decode_full, read_header

        flag = build._scale_flag(path)
        scale = next(scale for scale, known in build._FLAGS.items() if known == flag)
        header = read_header(path.read_bytes())
        shape = decode_full(path.read_bytes(), cover=build.SIZE).shape
        assert shape == (-(-header.height // scale), -(-header.width // scale))


def test_peers_do_the_work_too(found):
    source = build._repeated(found.source, 60)
    paths = [found.folder / build._original(source, image).name for image in source.images]
    assert build._tensorflow(paths[:8], 1) == 8
    assert build._plain(source) == 60
