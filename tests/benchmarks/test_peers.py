"""The readers we are compared with do the same work: same images, same size, changed as much; and their files."""

import tarfile

import cv2
import numpy as np
import pytest

from benchmarks import image_folders
from benchmarks.image_folders import JpegFolder
from benchmarks.measuring.harness import CannotRunError
from benchmarks.peers import albumentations_peer, opencv_peers, torch_peers
from benchmarks.peers.keras_peers import CHANGES
from benchmarks.peers.opencv_peers import Files, changed
from pipeline.config import ModelConfig
from pipeline.networks.models import build

SIDE = 32


@pytest.fixture
def paths(tmp_path):
    """Five grey pictures; one is larger than asked, one smaller."""
    generator = np.random.default_rng(0)
    found = []
    for number, side in enumerate((SIDE, SIDE, SIDE, 50, 20)):
        picture = cv2.GaussianBlur(generator.integers(0, 256, (side, side), dtype=np.uint8), (0, 0), 3)
        found.append(str(tmp_path / f"{number}.png"))
        cv2.imwrite(found[-1], picture)
    return tuple(found)


def test_a_peer_reads_every_image_at_the_size_asked(paths):
    files = Files(paths, SIDE, augmented=False)
    assert len(files) == 5
    for index, path in enumerate(paths):
        image = files[index]
        assert (image.shape, image.dtype) == ((SIDE, SIDE, 1), np.uint8)
        if index < 3:
            assert (image[:, :, 0] == cv2.imread(path, 0)).all()
    halved = cv2.resize(cv2.imread(paths[3], 0), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    assert (files[3][:, :, 0] == halved).all()


def test_a_peer_that_cannot_read_says_which_file(tmp_path):
    (tmp_path / "broken.jpeg").write_bytes(b"no image")
    with pytest.raises(CannotRunError, match=r"could not read .*broken\.jpeg"):
        Files((str(tmp_path / "broken.jpeg"),), SIDE, augmented=False)[0]


def test_a_peer_changes_what_it_reads_if_asked(paths):
    files = Files(paths, SIDE, augmented=True)
    first, again = files[0], files[0]
    assert (first.shape, first.dtype) == ((SIDE, SIDE, 1), np.float32)
    assert (first != again).any()
    assert (first.min() >= 0, first.max() <= 255) == (True, True)


def by_opencv():
    generator = np.random.default_rng(0)
    return lambda grey: changed(grey, generator)


def by_albumentations():
    pytest.importorskip("albumentations", reason="needs the peers extra")
    change = albumentations_peer.transformation(CHANGES, 0)
    return lambda grey: change(grey[:, :, None])[:, :, 0]


@pytest.mark.parametrize("peer", [by_opencv, by_albumentations])
def test_changes_of_a_peer_are_random_but_keep_the_middle_in_sight(peer):
    """A white disc in the middle is still there under every change, and flips happen about half of the time."""
    grey = np.zeros((64, 64), np.uint8)
    cv2.circle(grey, (32, 32), 20, 255, -1)
    cv2.circle(grey, (48, 32), 6, 128, -1)
    change = peer()
    views = np.stack([change(grey) for _ in range(40)])
    assert views.dtype == np.float32
    assert (views[:, 26:38, 26:38].mean(axis=(1, 2)) > 150).all()
    right = views[:, :, 40:].mean(axis=(1, 2)) < views[:, :, :24].mean(axis=(1, 2))
    assert 8 < right.sum() < 32
    assert len(np.unique(views.mean(axis=(1, 2)))) == 40


def test_grain_gives_whole_batches_for_ever(paths):
    pytest.importorskip("grain", reason="needs the peers extra")
    work = opencv_peers.grain_loader(Files(paths, SIDE, augmented=True), 2, 2)
    assert [next(work) for _ in range(5)] == [2] * 5


def test_spdl_gives_whole_batches_for_ever(paths):
    pytest.importorskip("spdl.pipeline", reason="needs the peers extra")
    work = opencv_peers.spdl_pipeline(Files(paths, SIDE, augmented=True), 2, 2)
    assert [next(work) for _ in range(9)] == [2] * 9
    work.close()


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        place = tmp_path / "train" / ("NORMAL", "PNEUMONIA")[number % 2] / f"{number}.jpeg"
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), np.full((SIDE, SIDE), 40 * number, np.uint8))
    return JpegFolder("made up", tmp_path)


def test_tar_files_hold_every_image_once(folder):
    tars, greys = image_folders.tars(folder, 1), set()
    assert len(tars) == 4
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                sample = {"jpeg": tar.extractfile(member).read(), "__url__": path}
                greys.add(int(Files((), SIDE, augmented=False).from_tar(sample).mean().round()))
    assert greys == {40 * number for number in range(6)}


def test_webdataset_gives_whole_batches_for_ever(folder):
    pytest.importorskip("webdataset", reason="needs the peers extra")
    pytest.importorskip("torch", reason="needs the peers extra")
    files = Files(tuple(folder.paths), SIDE, augmented=True)
    work = opencv_peers.web_dataset(files, 2, 1, lambda: image_folders.tars(folder, 1))()
    assert [next(work) for _ in range(9)] == [2] * 9


@pytest.mark.parametrize("name", ["compact", "efficientnet_lite0"])
def test_pytorch_trains_networks_of_as_many_weights_as_ours(name):
    pytest.importorskip("torch", reason="needs the peers extra")
    ours = build(ModelConfig(model=name, pretrained_weights="none"), 64)
    theirs = getattr(torch_peers, name)()
    assert sum(weight.numel() for weight in theirs.parameters()) == sum(
        int(np.prod(weight.shape)) for weight in ours.trainable_weights
    )
    work = torch_peers.train(name, 64, 4, 1)
    assert [next(work), next(work)] == [4, 4]


def draw(folder, count):
    """Stand in for the large phantoms, which take seconds to draw."""
    for number in range(count):
        place = folder / ("train", "test")[number % 2] / ("NORMAL", "PNEUMONIA")[number % 3 > 0] / f"{number}.jpeg"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(number).integers(0, 256, (300, 240), dtype=np.uint8)
        cv2.imwrite(str(place), cv2.GaussianBlur(picture, (0, 0), 9))


def test_phantoms_are_shrunk_turned_mirrored_and_inverted(monkeypatch):
    monkeypatch.setattr(image_folders, "write_phantoms", draw)
    monkeypatch.setattr(image_folders, "QUICK_LARGE_FILES", 6)
    monkeypatch.setattr(image_folders, "QUICK_FILES", 6 * 16)
    for cached in (image_folders.small, image_folders.large):
        cached.cache_clear()
    drawn, found = image_folders.large(True), image_folders.small(None, True)
    for cached in (image_folders.small, image_folders.large):
        cached.cache_clear()
    assert len(drawn.paths) == 6
    views = [cv2.imread(path, 0) for path in found.paths]
    assert {view.shape for view in views} == {(image_folders.SMALL, image_folders.SMALL)}
    assert len({view.tobytes() for view in views}) == len(views) == 6 * 16
    assert {path.rsplit("/", 2)[1] for path in found.paths} == {"NORMAL", "PNEUMONIA"}
    assert (found.name, drawn.name) == ("phantoms, 224² JPEGs", "phantoms, 1,400 x 1,000 JPEGs")


def test_a_source_with_more_files_than_wanted_is_thinned_evenly():
    images = tuple(range(100))
    assert image_folders.spread(images, 10) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert image_folders.spread(images, 200) == list(images)
