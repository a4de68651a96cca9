"""Fetching the published archive, from a server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import threading
import zipfile

import pytest

from made_sources import write
from pneumo_tfds import published
from pneumo_tfds.pneumo_tfds_dataset_builder import Builder
from pneumo_tfds.prepared import BuildOptions, build
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import quoted


@pytest.fixture
def archive(xrays, tmp_path, monkeypatch):
    """The address of a zip of `xrays`, served from memory, and the bytes, which a test may change."""
    path = tmp_path / "ChestXRay2017.zip"
    with zipfile.ZipFile(path, "w") as file:
        for image in sorted(xrays.rglob("*.jpeg")):
            file.write(image, f"chest_xray/{image.relative_to(xrays).as_posix()}")
    content = {"data": path.read_bytes()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content["data"])))
            self.end_headers()
            self.wfile.write(content["data"])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/file_downloaded"
    monkeypatch.setattr(published, "ARCHIVE_URL", url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield url, content
    server.shutdown()
    server.server_close()


def recorded(url, data):
    from tensorflow_datasets.core.download.checksums import UrlInfo

    return {url: UrlInfo(size=len(data), checksum=hashlib.sha256(data).hexdigest(), filename="ChestXRay2017.zip")}


def test_the_published_archive_is_recorded_beside_the_builder():
    found = Builder.url_infos[published.ARCHIVE_URL]
    assert (int(found.size), found.filename, len(found.checksum)) == (1_235_512_464, "ChestXRay2017.zip", 64)


def test_a_download_without_a_record_is_not_taken_on_trust(archive, tmp_path):
    url, _ = archive
    with pytest.raises(InputError, match=f"{url}: checksums.tsv has no record .*pass --register-checksums"):
        build(None, "gray_32", tmp_path / "d", options=BuildOptions(download=True))
    assert not list((tmp_path / "d/downloads").rglob("*file_downloaded*"))


def test_download_that_matches_its_record(archive, tmp_path, monkeypatch):
    url, content = archive
    monkeypatch.setattr(Builder, "url_infos", recorded(url, content["data"]))
    built = build(None, "gray_32", tmp_path / "d", options=BuildOptions(download=True))
    assert sum(built.examples.values()) == 48
    assert built.metadata["source_kind"] == "zip"
    content["data"] = b""  # what was fetched once is not fetched again
    assert sum(build(None, "gray_40", tmp_path / "d", options=BuildOptions(download=True)).examples.values()) == 48


def test_download_that_does_not_is_refused(archive, tmp_path, monkeypatch):
    url, content = archive
    monkeypatch.setattr(Builder, "url_infos", recorded(url, content["data"]))
    content["data"] = content["data"][:-10] + bytes(10)
    with pytest.raises(InputError, match=f"{url}: is not the archive that was recorded"):
        build(None, "gray_32", tmp_path / "d", options=BuildOptions(download=True))


def test_checksums_are_recorded_when_asked(archive, tmp_path, monkeypatch):
    url, content = archive
    table = tmp_path / "checksums.tsv"
    table.touch()
    monkeypatch.setattr(Builder, "_checksums_path", table)
    build(None, "gray_32", tmp_path / "d", options=BuildOptions(download=True, register_checksums=True))
    assert table.read_text().split("\t")[:3] == [
        url,
        str(len(content["data"])),
        hashlib.sha256(content["data"]).hexdigest(),
    ]


def test_no_network_is_one_line(tmp_path, monkeypatch):
    url = "http://127.0.0.1:9/file_downloaded"
    monkeypatch.setattr(published, "ARCHIVE_URL", url)
    monkeypatch.setattr(Builder, "url_infos", recorded(url, b""))
    with pytest.raises(
        InputError, match=r"127\.0\.0\.1:9/file_downloaded: cannot be fetched .*pass --source"
    ) as caught:
        build(None, "gray_32", tmp_path / "d", options=BuildOptions(download=True))
    assert "\n" not in str(caught.value)


def zip_of(path, names):
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"x")


@pytest.mark.parametrize("name", published.MANUAL_NAMES)
def test_published_names_in_the_manual_folder_are_taken(tmp_path, name):
    (tmp_path / name).mkdir()
    zip_of(tmp_path / "other.zip", ["NORMAL/1.png"])
    assert published.in_manual_folder(tmp_path) == tmp_path / name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chest-xray-pneumonia.zip", ["chest_xray/train/NORMAL/1.jpeg"]),
        ("cut off.zip", b"PK\x03\x04 and no more"),
        ("chest_xray_pneumonia/train/NORMAL/1.jpeg", b"x"),
        ("from the hospital/0001/IM1", b"\0" * 128 + b"DICM"),
        ("my_xrays.csv", b"file;diagnosis\n1.png;0\n"),
        ("1.png", b"x"),
    ],
)
def test_other_x_rays_in_the_manual_folder_are_named_and_not_passed_over(tmp_path, name, content):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content) if isinstance(content, bytes) else zip_of(path, content)
    entry = tmp_path / name.split("/")[0]
    with pytest.raises(
        InputError, match=f"but {entry.name}; to use it, pass --source {quoted(entry)}; else move it out"
    ):
        published.in_manual_folder(tmp_path)


@pytest.mark.parametrize("name", ["", "notes.txt", "table.csv", "code/a.py", "texts.zip"])
def test_nothing_that_looks_like_x_rays_is_nothing(tmp_path, name):
    if name:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        zip_of(tmp_path / name, ["a.txt"]) if name == "texts.zip" else (tmp_path / name).write_text("a,b\n1,2\n")
    assert published.in_manual_folder(tmp_path) is None
    assert published.in_manual_folder(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", ["chest_xray.tar.gz", "archive.7z", "Pneumonia_X-rays.RAR", "cxr.tar"])
def test_x_rays_in_an_archive_that_is_not_opened_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(b"x")
    with pytest.raises(InputError, match=f"but {name}; to use it, unpack {tmp_path / name} and pass its folder"):
        published.in_manual_folder(tmp_path)


def test_archives_of_other_data_sets_in_the_manual_folder_are_passed_over(tmp_path):
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(b"x")
    assert published.in_manual_folder(tmp_path) is None


def test_a_table_in_the_manual_folder_is_named_before_the_images_that_it_lists(tmp_path):
    write(tmp_path, {"1.png": None, "2.png": None, "labels.csv": "path,label\n1.png,0\n2.png,1\n"})
    with pytest.raises(InputError, match=r"but labels\.csv, 1\.png, 2\.png; to use it, pass --source .*labels\.csv;"):
        published.in_manual_folder(tmp_path)
