"""The build benchmark: its contenders do the same work on the same files."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks import build_speed
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.image_folders import JpegFolder
from benchmarks.measuring.harness import Pace
from pneumo_tfds.phantoms.phantom_source import write_phantoms
from pneumo_tfds.prepared import BuildOptions
from pneumo_tfds.sources.opening import open_source


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder / "drawn", 60)
    return JpegFolder("phantoms", folder / "drawn")


def test_files_are_repeated_under_names_of_their_own(found):
    source, originals = build_speed.repeat_files(found.source, 150)
    assert len({image.name for image in source.images}) == 150
    assert source.read(source.images[0]) == found.source.read(originals[0])
    few, _ = build_speed.repeat_files(found.source, 30)
    assert {image.label for image in few.images} == {"NORMAL", "PNEUMONIA"}


def test_our_contender_builds_every_image(found):
    source, _ = build_speed.repeat_files(found.source, 90)
    assert build_speed.build_ours(source, 1) == build_speed.build_ours(source, 2) == 90


def test_only_the_build_as_by_default_looks_at_pictures_for_copies(found, monkeypatch):
    asked = []

    def build(source, config, folder, options):
        asked.append(options.look_for_near_identical)
        return SimpleNamespace(examples={"train": len(source.images)})

    def measure(case, contenders, pace):
        for contender in contenders:
            if contender.name.startswith("ours: "):
                next(contender.start())
        return []

    monkeypatch.setattr(build_speed, "build", build)
    monkeypatch.setattr(build_speed, "measure", measure)
    build_speed._measure_table(found, 1, BenchmarkOptions(quick=True, threads=1))
    assert asked == [False, BuildOptions().look_for_near_identical] == [False, True]


def test_a_builder_that_takes_no_number_of_threads_says_how_many_it_has(found, monkeypatch):
    named = []
    monkeypatch.setattr(
        build_speed, "measure", lambda case, contenders, pace: named.append([each.name for each in contenders]) or []
    )
    build_speed._measure_table(found, 2, BenchmarkOptions(quick=True, threads=2))
    (plain,) = [name for name in named[0] if "TFDS" in name]
    assert plain.endswith("one thread")


def test_the_limit_decodes_at_the_scale_that_we_do(found):
    files = [(found.folder / image.name, 0) for image in open_source(found.folder).images[:3]]
    for path, _ in files:
        from pneumo_tfds.decode import decode_full
        from pneumo_tfds.decode.headers import read_header
        from pneumo_tfds.decode.jpeg import REDUCED

        flag = build_speed.decoder_flag(path)
        scale = next(scale for scale, known in REDUCED.items() if known == flag)
        header = read_header(path.read_bytes())
        shape = decode_full(path.read_bytes(), cover=build_speed.SIZE).shape
        assert shape == (-(-header.height // scale), -(-header.width // scale))


def test_peers_do_the_work_too(found):
    source, originals = build_speed.repeat_files(found.source, 60)
    paths = [found.folder / image.name for image in originals]
    assert build_speed.decode_by_tensorflow(paths[:8], 1) == 8
    assert build_speed.build_plain_tfds(source) == 60


@pytest.fixture
def few(tmp_path):
    """Six JPEGs of which two have the target's size."""
    for number in range(6):
        label = ("NORMAL", "PNEUMONIA")[number % 2]
        place = tmp_path / "few" / "train" / label / f"person{number}_virus_{number}.jpeg"
        place.parent.mkdir(parents=True, exist_ok=True)
        side = build_speed.SIZE if number < 2 else 500 + 100 * number
        picture = np.random.default_rng(number).integers(0, 256, (side // 4, side // 4), dtype=np.uint8)
        cv2.imwrite(str(place), cv2.resize(picture, (side, side)))
    return JpegFolder("few", tmp_path / "few")


@pytest.mark.parametrize("threads", [1, 2])
def test_the_limit_reads_every_file_and_brings_it_to_size(few, monkeypatch, threads):
    resized = []
    resize = cv2.resize
    monkeypatch.setattr(cv2, "resize", lambda *given, **how: resized.append(given[1]) or resize(*given, **how))
    files = [(Path(path), build_speed.decoder_flag(Path(path))) for path in few.paths]
    assert build_speed.decode_bare(files, threads) == 6
    assert resized == [(build_speed.SIZE, build_speed.SIZE)] * 4


def test_every_contender_of_a_table_gets_the_same_images(few, monkeypatch):
    work = {}

    def measure(case, contenders, pace):
        work.update({contender.name: next(contender.start()) for contender in contenders})
        return [(case.threads, case.source)]

    monkeypatch.setattr(build_speed, "measure", measure)
    monkeypatch.setattr(build_speed, "QUICK_IMAGES", 12)
    monkeypatch.setattr(build_speed, "build_ours", lambda source, threads, by_default=False: len(source.images))
    monkeypatch.setattr(build_speed, "build_plain_tfds", lambda source: len(source.images))
    monkeypatch.setattr(build_speed, "decode_by_tensorflow", lambda paths, threads: len(paths))
    monkeypatch.setattr(BenchmarkOptions, "pace", lambda self, **_: Pace(1, 0.01))
    monkeypatch.setattr(build_speed.image_folders, "large", lambda quick: few)
    monkeypatch.setattr(build_speed.image_folders, "small", lambda source, quick: few)
    assert build_speed.measure_stage(BenchmarkOptions(quick=True, threads=2)) == [(1, "few"), (2, "few")] * 2
    assert set(work.values()) == {12}
    assert [name.split(":")[0] for name in work] == ["limit", "ours", "ours", "peer", "peer"]
