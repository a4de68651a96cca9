"""The browser page and the Node example, in a real headless browser where there is one."""

import base64
import contextlib
import http.client
import io
import json
import re
import shutil
import struct
import subprocess
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from export import Classifier
from export.inference.content_digest import sealed
from export.web import server as web
from image_files import partly_coloured, png_chunk
from image_files import png as made_png
from pneumo_tfds.program.answers import Limits
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.sources.inventory import VIRUS_FROM

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NODE = shutil.which("node")
HERE = Path(__file__).parent
WEB = Path(web.__file__).parent
needs_node = pytest.mark.skipif(not NODE, reason="needs node")
needs_runtime = pytest.mark.skipif(
    not (NODE and (WEB / "node_modules" / "onnxruntime-web").is_dir()),
    reason="needs node, and npm ci --prefix export/web",
)
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and (WEB / "node_modules" / "playwright-core").is_dir()),
    reason="needs chromium, and npm ci --prefix export/web",
)


@contextlib.contextmanager
def served(run):
    """Serve the page of a run's model; gives the address."""
    server = web.make_server(web.site(run / "model.onnx", run / "golden.npz"), 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def address(exported):
    """The page of the tiny model, served."""
    with served(exported) as found:
        yield found


def in_browser(address, folder):
    """Open the page in a browser, give it the files of a folder, and return what was seen."""
    done = subprocess.run(
        [NODE, HERE / "browser_check.mjs", "http://{}:{}/".format(*address), CHROMIUM, folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def get(address, path, method="GET", **headers):
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


@pytest.fixture(scope="module")
def xrays(tmp_path_factory):
    """Phantoms at full size as JPEG and PNG, and one file that is not an image."""
    from pneumo_tfds.phantoms.drawing import render

    folder = tmp_path_factory.mktemp("web-xrays")
    for number, kind in enumerate(("normal", "bacteria", "virus")):
        drawn = render(7, f"p{number}", f"{number}.jpeg", kind)
        cv2.imwrite(str(folder / f"{number}-{kind}.jpeg"), drawn, [cv2.IMWRITE_JPEG_QUALITY, 90])
        cv2.imwrite(str(folder / f"{number}-{kind}.png"), cv2.resize(drawn, (180, 140), interpolation=cv2.INTER_AREA))
    (folder / "not-an-image.jpeg").write_text("hello")
    return folder


@needs_runtime
def test_node_example_agrees_with_keras(exported):
    done = subprocess.run(
        [NODE, WEB / "predict.mjs", exported / "model.onnx", exported / "golden.npz"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "agrees with Keras" in done.stdout
    with np.load(exported / "golden.npz") as golden:
        expected = golden["probability"][:, 0]
    found = [float(line.split()[0]) for line in done.stdout.splitlines()[: len(expected)]]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@needs_runtime
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("truncated", "ends too early|lacks the metadata"),
        ("foreign", "lacks the metadata"),
        ("missing key", "lacks the metadata threshold"),
        ("newer", "newer"),
        ("unknown framing", "framing fisheye, which this page does not know"),
    ],
)
def test_javascript_refuses_models_of_other_projects(exported, tmp_path, damage, reason):
    import onnx

    model = onnx.load(exported / "model.onnx")
    entries = {entry.key: entry.value for entry in model.metadata_props}
    if damage == "foreign":
        entries = {}
    elif damage == "missing key":
        del entries["threshold"]
    elif damage == "unknown framing":
        entries["framing"] = "fisheye"
    elif damage == "newer":
        entries["version"] = "7"
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, entries)
    data = sealed(model)
    (tmp_path / "m.onnx").write_bytes(data[:-300] if damage == "truncated" else data)
    arguments = [NODE, WEB / "predict.mjs", tmp_path / "m.onnx", exported / "golden.npz"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert re.search(reason, done.stderr)


@needs_runtime
@pytest.mark.parametrize(("place", "reason"), [(2000, "is damaged"), (-1, "is damaged"), (None, "changed by another")])
def test_javascript_refuses_a_file_that_is_not_as_it_was_exported(exported, tmp_path, place, reason):
    import onnx

    data = bytearray((exported / "model.onnx").read_bytes())
    if place is None:
        model = onnx.load_from_string(bytes(data))
        model.metadata_props.add(key="note", value="mine")
        data = model.SerializeToString()
    else:
        data[place] ^= 1
    (tmp_path / "m.onnx").write_bytes(data)
    arguments = [NODE, WEB / "predict.mjs", tmp_path / "m.onnx", exported / "golden.npz"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert reason in done.stderr


def page(cases):
    """What the page's modules answer in Node."""
    arguments = [NODE, HERE / "page_check.mjs"]
    done = subprocess.run(arguments, input=json.dumps(cases), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def base64_of(data):
    return base64.b64encode(bytes(data)).decode()


@needs_node
def test_the_page_makes_the_same_square_as_python():
    from pneumo_tfds.decode import decode, resize

    cases, expected = [], []
    for number, (width, height) in enumerate([(300, 200), (150, 401), (64, 64), (20, 16), (101, 700), (701, 502)]):
        grey = cv2.resize(np.random.default_rng(number).integers(0, 256, (6, 8), np.uint8), (width, height))
        data = cv2.imencode(".jpeg", grey, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        for framing in ("squeeze", "crop", "pad"):
            for side in (24, 64):
                for kind, pixels in (("PNG", grey), ("JPEG", whole)):
                    picture = {"grey": base64_of(pixels), "width": width, "height": height, "format": kind}
                    cases.append({"frame": picture, "side": side, "framing": framing})
                expected += [resize(grey, side, framing), decode(data, side, framing=framing)]
    for case, found, square in zip(cases, page(cases), expected, strict=True):
        pixels = np.frombuffer(base64.b64decode(found), np.uint8).reshape(square.shape)
        kind, gap = case["frame"]["format"], np.abs(pixels.astype(int) - square).max()
        assert gap <= (1 if kind == "PNG" else 2), (kind, case["side"], case["framing"], square.shape)


@needs_node
def test_the_page_puts_the_heat_map_where_python_does():
    from export.inference.outputs import over_picture

    heat = np.zeros((6, 6), np.float32)
    heat[1, 4] = 3
    cases, expected = [], []
    for width, height in ((90, 60), (60, 90), (48, 48)):
        for framing in ("squeeze", "crop", "pad"):
            over = {"data": heat.ravel().tolist(), "height": 6, "width": 6}
            cases.append({"over": over, "width": width, "height": height, "framing": framing})
            expected.append(over_picture(heat, width, height, framing))
    for found, placed in zip(page(cases), expected, strict=True):
        values = np.reshape(found, placed.shape)
        peaks = [np.argwhere(each > 0.9 * each.max()).mean(axis=0) for each in (values, placed)]
        assert np.abs(peaks[0] - peaks[1]).max() < 1
        assert not values[placed == 0].max(initial=0) > 0.5  # cubic here, linear there


@needs_node
def test_the_page_says_of_grey_levels_what_python_says():
    from pneumo_tfds.decode.exposure import exposure_remark, levels_remark
    from pneumo_tfds.decode.masks import has_two_levels

    grey = cv2.resize(
        np.random.default_rng(4).integers(0, 256, (6, 8), np.uint8), (400, 300), interpolation=cv2.INTER_CUBIC
    )
    mask = np.where(grey > 128, 255, 0).astype(np.uint8)
    saved = cv2.imdecode(cv2.imencode(".jpeg", mask)[1], cv2.IMREAD_GRAYSCALE)
    spot = np.full_like(grey, 30)
    spot[5, 5] = 200
    pictures = {
        "ordinary": grey, "mask": mask, "mask of two other levels": mask // 2 + 20, "mask as JPEG": saved,
        "spot": spot, "four levels": grey // 64 * 64, "thirty-one": grey // 8 * 8, "dark": grey // 4,
        "bright": grey // 5 + 204, "flat": grey // 8 + 100, "small": mask[:10, :10],
    }  # fmt: skip
    found = page(
        [{"judged": {"grey": base64_of(each), "width": each.shape[1], "height": each.shape[0], "format": "PNG"}}
         for each in pictures.values()]
    )  # fmt: skip
    for name, each in pictures.items():
        expected = [text for text in (exposure_remark(each), levels_remark(each)) if text]
        says = {"mask": has_two_levels(each, int(each.min()), int(each.max())), "reasons": expected}
        assert dict(zip(pictures, found, strict=True))[name] == says, name
    assert [name for name, each in zip(pictures, found, strict=True) if each["mask"]] == list(pictures)[1:4]


@needs_node
def test_the_page_decides_as_python_does():
    cases = json.loads((HERE / "decisions.json").read_text())
    for case, found in zip(cases, page(cases), strict=True):
        assert found == {"decision": case["decision"], "reasons": case["reasons"]}, case


@needs_node
def test_the_page_refuses_what_is_no_probability_as_python_does():
    """Not a word of NORMAL for a probability that is not a number."""
    decided = page([{"probability": value, "limits": [0.3, 0.7, 0.05]} for value in ("NaN", "-0.1", "1.1", "Infinity")])
    assert {text.partition(" which ")[2] for text in decided} == {"is not in 0 to 1; export its run again."}
    wrong = ["NaN", "-0.001", "1.001", "-Infinity"]
    good = {"probability": "1", "familiarity": "1.0000005", "subtype": "0"}
    outputs = [
        good,
        *({**good, name: value} for name in good for value in wrong),
        {**good, "familiarity": "-0.0000005"},
    ]
    found = page([{"outputs": each} for each in outputs])
    said = [
        "values that are not probabilities",
        "values that are not familiarities",
        "values that are not probabilities",
    ]
    assert found[0] == found[-1] == ""
    assert found[1:-1] == [f"The model gives {text}; export its run again." for text in said for _ in wrong]


@needs_node
def test_the_page_needs_the_keys_that_python_needs(exported):
    import onnx

    from export.inference.onnx_metadata import KEYS, WHERE_ABSENT

    model = onnx.load(exported / "model.onnx")
    entries = {entry.key: entry.value for entry in model.metadata_props}
    cases, needed = [], [key for key in KEYS if key not in WHERE_ABSENT]
    for key in (None, *needed):
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {name: value for name, value in entries.items() if name != key})
        cases.append({"props": base64_of(model.SerializeToString())})
    first, *others = page(cases)
    assert first == ""
    assert others == [f"The model lacks the metadata {key}; it is not from this project." for key in needed]


def transparent_pngs():
    """PNGs with transparency by name, of every kind that a browser reads to the same pixels."""
    grey = cv2.resize(np.random.default_rng(6).integers(0, 256, (6, 8), np.uint8), (61, 42))
    random = np.random.default_rng(7)
    red = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    red[:15, :40] = (255, 0, 0, 0)  # 23 %, and no trace of it on black
    half, clear = red.copy(), np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    half[..., 3] = random.integers(100, 256, grey.shape)
    clear[grey == grey[0, 0], :3] = clear[grey == grey[0, 0], 3:] = 0
    pictures = {"red": red, "half": half, "opaque": np.dstack([red[..., :3], clear[..., 3] | 255]), "black": clear}
    found = {}
    for name, rgba in pictures.items():
        encoded = io.BytesIO()
        Image.fromarray(rgba).save(encoded, "PNG")
        found[name] = encoded.getvalue()
    encoded = io.BytesIO()
    Image.fromarray(np.dstack([grey, half[..., 3]]), "LA").save(encoded, "PNG")
    found["grey with opacity"] = encoded.getvalue()
    rows = b"".join(b"\0" + row.tobytes() for row in red[..., :3])
    found["one colour"] = png_of(61, 42, 8, 2, rows, tRNS=bytes([0, 255, 0, 0, 0, 0]))
    palette = bytes(random.integers(0, 256, 48, np.uint8))
    for bits in (2, 4, 8):
        indices = grey >> 8 - min(bits, 4)
        packed = np.packbits(np.unpackbits(indices[..., None], axis=2)[..., 8 - bits :].reshape(42, -1), axis=1)
        rows = b"".join(b"\0" + row.tobytes() for row in packed)
        size = 3 << min(bits, 4)
        found[f"palette of {bits} bits"] = png_of(61, 42, bits, 3, rows, PLTE=palette[:size], tRNS=bytes([0, 128]))
    for way in range(5):
        found[f"filter {way}"] = png_of(61, 42, 8, 6, filtered(half, way))
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(
        b"\0" + row.tobytes() for left, top, across, down in passes for row in half[top::down, left::across]
    )
    found["interlaced"] = png_of(61, 42, 8, 6, rows, interlaced=1)
    return found


def png_of(width, height, bits, colour, rows, interlaced=0, **chunks):
    body = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))
    body += b"".join(png_chunk(name.encode(), content) for name, content in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND")


def filtered(rgba, way):
    """Rows of a PNG under one of its filters (PNG specification, 9.2)."""
    values = rgba.reshape(len(rgba), -1).astype(int)
    up = np.vstack([np.zeros_like(values[:1]), values[:-1]])
    left, corner = (np.hstack([np.zeros_like(each[:, :4]), each[:, :-4]]) for each in (values, up))
    guess = left + up - corner
    gaps = np.stack([abs(guess - each) for each in (left, up, corner)])
    paeth = np.choose(gaps.argmin(axis=0), [left, up, corner])
    told = (values - [0, left, up, (left + up) // 2, paeth][way]).astype(np.uint8)
    return b"".join(bytes([way]) + row.tobytes() for row in told)


@needs_node
def test_the_page_reads_the_colours_of_transparent_pixels_as_they_are_stored():
    files = transparent_pngs()
    for (name, data), found in zip(
        files.items(), page([{"stored": base64_of(each)} for each in files.values()]), strict=True
    ):
        pixels = np.frombuffer(base64.b64decode(found["data"]), np.uint8).reshape(found["height"], found["width"], 4)
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")), name)


@needs_node
def test_a_damaged_png_with_transparency_is_refused():
    whole = png_of(16, 16, 8, 6, bytes(16 * 65))
    short, odd = png_of(16, 16, 8, 6, bytes(15 * 65)), png_of(16, 16, 8, 6, b"\5" * (16 * 65))
    packed = whole.replace(b"IDAT", b"IDAT\0")
    found = page([{"stored": base64_of(each)} for each in (whole, short, odd, packed)])
    assert found[0]["width"] == 16
    assert found[1:] == ["The PNG is damaged; copy it again."] * 3


@needs_node
def test_the_golden_check_allows_each_limit_its_own_tolerance():
    """An int8 file whose familiarity may differ by much may not answer otherwise far from the limits of P."""
    allowed, limits = {"probability": 0.02, "familiarity": 0.4}, Limits(0.3, 0.7, 0.05)
    goldens = [(0.5, 0.9), (0.69, 0.9), (0.5, 0.44), (0.5, 0.46), (0.1, 0.9)]
    cases = [
        {"golden": [*golden, "UNSUITABLE"], "found": golden, "tolerance": allowed, "limits": [0.3, 0.7, 0.05]}
        for golden in goldens
    ]
    near = [limits.near(*golden, allowed["probability"], allowed["familiarity"]) for golden in goldens]
    assert near == [False, True, True, False, False]
    assert page(cases) == [int(not each) for each in near]


@needs_node
def test_the_page_calls_a_pneumonia_viral_from_where_python_does():
    assert page([{"viral": VIRUS_FROM}, {"viral": VIRUS_FROM - 1e-6}]) == ["VIRUS", "BACTERIA"]


@needs_node
def test_the_page_finds_the_same_pictures_in_colour_too_small_or_misshapen_as_python():
    from pneumo_tfds.decode.reasons import reasons_to_doubt

    grey = cv2.resize(np.random.default_rng(1).integers(0, 256, (6, 8), np.uint8), (60, 40))
    blue = np.dstack([grey, grey // 2, grey // 2])
    marked = np.dstack([grey] * 3)
    marked[:6, :10] = (0, 0, 255)
    cases, expected = [], []
    for bgr, side in ((np.dstack([grey] * 3), 48), (blue, 48), (marked, 48), (blue, 81), (marked, 80)):
        rgba = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGBA)
        cases.append({"rgba": base64_of(rgba.tobytes()), "width": 60, "height": 40, "side": side})
        png = cv2.imencode(".png", bgr)[1].tobytes()
        expected.append(list(reasons_to_doubt(png, grey, model_side=side).unfit))
    for width, height in ((50, 100), (49, 100), (200, 50), (201, 50)):
        flat = np.full((height, width), 90, np.uint8)
        rgba = cv2.cvtColor(flat, cv2.COLOR_GRAY2RGBA)
        cases.append({"rgba": base64_of(rgba.tobytes()), "width": width, "height": height, "side": 48})
        expected.append(list(reasons_to_doubt(cv2.imencode(".png", flat)[1].tobytes(), flat, model_side=48).unfit))
    assert [len(reasons) for reasons in expected] == [0, 1, 0, 2, 0, 0, 1, 0, 1]
    assert page(cases) == expected


@needs_node
def test_the_page_draws_the_line_of_colour_where_python_does():
    pictures = [cv2.cvtColor(partly_coloured(blocks), cv2.COLOR_BGR2RGBA) for blocks in (9, 12)]
    cases = [{"rgba": base64_of(rgba.tobytes()), "width": 80, "height": 80, "side": 80} for rgba in pictures]
    assert page(cases) == [[], ["in colour: 12 % of the picture"]]


def files_of_every_kind(folder):
    """Files by what the page must say of them; those under "" are read."""
    grey = cv2.resize(np.random.default_rng(2).integers(0, 256, (6, 8), np.uint8), (60, 40))
    deep = grey.astype(np.uint16)
    jpeg, png = cv2.imencode(".jpeg", grey)[1].tobytes(), cv2.imencode(".png", grey)[1].tobytes()
    file = io.BytesIO()
    Image.fromarray(grey).convert("CMYK").save(file, "JPEG")
    cmyk, file = file.getvalue(), io.BytesIO()
    frames = [Image.fromarray(grey), Image.fromarray(255 - grey)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    animated, file = file.getvalue(), io.BytesIO()
    Image.fromarray(grey).save(file, "WEBP")
    webp, file = file.getvalue(), io.BytesIO()
    Image.fromarray(grey).save(file, "PNG", transparency=int(grey[20, 30]))
    kinds = {
        "8-bit.png": (png, ""),
        "grey.jpeg": (jpeg, ""),
        "colour.jpeg": (cv2.imencode(".jpeg", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))[1].tobytes(), ""),
        "12-bits.png": (
            cv2.imencode(".png", deep * 16)[1].tobytes(),
            "16-bit values, of which a browser keeps only 8 bits",
        ),
        "16-bits.png": (cv2.imencode(".png", deep * 257)[1].tobytes(), "python -m export.predict reads it"),
        "cmyk.jpeg": (cmyk, "CMYK"),
        "animated.png": (animated, "animated; save a single image"),
        "chest.dcm": (bytes(128) + b"DICM" + bytes(200), "cannot read DICOM; python -m export.predict"),
        "webp.png": (webp, "not a JPEG or PNG file"),
        "transparent-level.png": (file.getvalue(), "transparent grey level"),
        "empty.png": (b"", "empty"),
        "cut.jpeg": (jpeg[: len(jpeg) // 2], "truncated"),
        "cut-at-the-end.jpeg": (jpeg[:-2], "truncated"),
        "trailing.jpeg": (jpeg + bytes(40), ""),
        "cut.png": (png[: len(png) // 2], "truncated"),
        "without-its-end.png": (png[:-12], "truncated"),
        "trailing.png": (png + b"more", ""),
        "icon.png": (cv2.imencode(".png", grey[:15])[1].tobytes(), "only 60 x 15 pixels"),
        "bomb.png": (made_png(50_000, 50_000), "50000 x 50000 pixels; the limit is 120 million"),
    }
    for name, (data, _) in kinds.items():
        (folder / name).write_bytes(data)
    return {name: says for name, (_, says) in kinds.items()}


@needs_node
def test_the_page_refuses_what_a_browser_reads_differently(tmp_path):
    kinds = files_of_every_kind(tmp_path)
    found = page([{"header": base64_of((tmp_path / name).read_bytes())} for name in kinds])
    for (name, says), header in zip(kinds.items(), found, strict=True):
        if says:
            assert says in header["refused"], name
        else:
            assert (header["width"], header["height"]) == (60, 40), name


def jpeg_without_its_lower_half():
    """A JPEG that was cut and has an end marker again: browsers and libjpeg fill what is missing with grey."""
    whole = cv2.imencode(".jpeg", np.random.default_rng(3).integers(0, 256, (80, 60), np.uint8))[1].tobytes()
    scan = whole.find(b"\xff\xda")
    return whole[: (scan + len(whole)) // 2].rstrip(b"\xff") + b"\xff\xd9"


@needs_node
def test_the_page_knows_where_data_of_a_jpeg_are_missing():
    cut = cv2.imdecode(np.frombuffer(jpeg_without_its_lower_half(), np.uint8), cv2.IMREAD_GRAYSCALE)
    whole = np.full_like(cut, 128)
    whole[-8, -1] = 127
    cases = [{"filler": base64_of(grey), "width": grey.shape[1]} for grey in (cut, whole, np.zeros_like(cut))]
    assert page(cases) == [True, False, False]


@needs_runtime
@needs_browser
@pytest.mark.parametrize("framing", ["crop", "pad"])
def test_page_in_a_browser_obeys_the_framing(exported_as, xrays, tmp_path, framing):
    """The same answers as Python's, for pictures that are not square; and what it cannot read alike is refused."""
    run = exported_as(framing)
    folder = tmp_path / "files"
    shutil.copytree(xrays, folder)
    kinds = files_of_every_kind(folder) | {"filled.jpeg": "one even grey, as if data were missing"}
    (folder / "filled.jpeg").write_bytes(jpeg_without_its_lower_half())
    with served(run) as address:
        seen = in_browser(address, folder)
    assert seen["golden"].startswith("Golden check passed")
    assert "1 of a kind that browsers read differently was left out" in seen["golden"]
    assert int(seen["goldenFigures"]["levels"]) <= 4
    classifier = Classifier(run / "model.onnx")
    cards = {card["name"]: card for card in seen["cards"] if card["name"] != "not-an-image.jpeg"}
    for name, card in cards.items():
        if kinds.get(name):
            assert card["decision"] == "Not read", name
            assert kinds[name] in card["number"], name
        else:
            assert card["probability"] == pytest.approx(classifier.predict_file(folder / name).probability, abs=0.01)
            with Image.open(folder / name) as picture:
                assert card["aspect"] == pytest.approx(picture.width / picture.height, rel=0.01)


@needs_runtime
@needs_browser
def test_page_in_a_browser(exported, address, xrays):
    seen = in_browser(address, xrays)
    assert seen["errors"] == []
    assert seen["isolated"] is True

    # Images never leave: nothing but GET to this server, and no request at all while images are answered.
    home = "http://{}:{}/".format(*address)
    assert all(method == "GET" and url.startswith((home, "data:", f"blob:{home}")) for method, url in seen["requests"])
    assert seen["afterImages"] == seen["beforeImages"]

    # The same answers as Python: within 1e-4 on the same pixels, within 0.01 when the browser decodes the file.
    assert seen["golden"].startswith("Golden check passed")
    assert float(seen["goldenFigures"]["tensors"]) <= 1e-4
    assert float(seen["goldenFigures"]["files"]) <= 0.01
    assert int(seen["goldenFigures"]["levels"]) <= 4
    classifier = Classifier(exported / "model.onnx")
    cards = {card["name"]: card for card in seen["cards"]}
    assert cards.pop("not-an-image.jpeg")["decision"] == "Not read"
    assert len(cards) == 6
    for name, card in cards.items():
        answer = classifier.predict_file(xrays / name)
        assert card["probability"] == pytest.approx(answer.probability, abs=0.01)
        assert card["label"].startswith(f"{name}: {card['decision']}")
    assert "6 images" in seen["status"]
    assert "1 could not be read" in seen["status"]

    # The threshold by keyboard, the heat map's switch, and every control within reach of Tab and with a name.
    assert set(seen["atZero"]) == {"PNEUMONIA", "Not read"}
    assert set(seen["atOne"]) == {"NORMAL", "Not read"}
    assert seen["atReset"] == [card["decision"] for card in seen["cards"]]
    assert seen["threshold"] == str(classifier.metadata.threshold)  # as it is, not as the slider rounds it
    assert seen["colouredWithout"] == 0
    assert seen["choice"] is False
    assert seen["reachable"] == ["files", "threshold", "reset", "heat", "golden", "save", "clear"]
    assert seen["unlabelled"] == []
    assert seen["afterClear"] == 0


@needs_runtime
@needs_browser
def test_page_gives_four_answers_with_their_reasons(four_way, tmp_path, pictures):
    smooth, noise = pictures(12, 96, seed=4), np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    for number, picture in enumerate(smooth):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    cv2.imwrite(str(tmp_path / "tinted.png"), np.dstack([smooth[0], smooth[0] // 2, smooth[0] // 2]))
    with served(four_way) as address:
        seen = in_browser(address, tmp_path)
    assert seen["errors"] == []
    assert seen["golden"].startswith("Golden check passed")
    assert "0 other answers" in seen["golden"]
    classifier = Classifier(four_way / "model.onnx")
    for card in seen["cards"]:
        expected = classifier.predict_file(tmp_path / card["name"])
        assert card["decision"] == expected.decision
        assert card["reasons"] == "; ".join(expected.reasons)
        assert card["meter"] is (expected.decision != "UNSUITABLE")
        assert ("probability" in card["number"]) is (expected.decision != "UNSUITABLE")
    decisions = [card["decision"] for card in seen["cards"]]
    assert set(decisions) == {"NORMAL", "PNEUMONIA", "UNCERTAIN", "UNSUITABLE"}
    for answer in set(decisions):
        assert f"{decisions.count(answer)} {answer}" in seen["status"]
    assert seen["choice"] is True
    assert set(seen["twoWay"]) == {"NORMAL", "PNEUMONIA"}
    assert seen["fourWay"] == seen["atReset"] == decisions
    assert set(seen["atZero"]) == {"PNEUMONIA"}  # a threshold of one's own
    assert "NORMAL below 0.35, PNEUMONIA from 0.67 on" in seen["rule"]
    assert "NPV at least 0.9 on made pictures" in seen["rule"]


@needs_runtime
def test_node_gives_four_answers(four_way):
    command = [NODE, WEB / "predict.mjs", four_way / "model.onnx", four_way / "golden.npz"]
    with np.load(four_way / "golden.npz") as golden:
        expected = golden["decision"].tolist()
    two = {"NORMAL", "PNEUMONIA"}
    for words, possible in (([], two | {"UNCERTAIN", "UNSUITABLE"}), (["--two-way"], two)):
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        *lines, last = done.stdout.splitlines()
        assert "0 other answers" in last
        decisions = [line.split()[1] for line in lines]
        assert set(decisions) <= possible
        assert words or decisions == expected
        assert "(it does not look like the X-rays that the model learned from" in done.stdout


@needs_runtime
@pytest.mark.parametrize(
    "limits", [{"certain_normal_below": "0.9"}, {"certain_normal_below": ""}, {"familiarity_threshold": "2"}]
)
def test_javascript_refuses_limits_out_of_order(four_way, tmp_path, limits):
    import onnx

    model = onnx.load(four_way / "model.onnx")
    entries = {entry.key: entry.value for entry in model.metadata_props} | limits
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, entries)
    (tmp_path / "m.onnx").write_bytes(sealed(model))
    arguments = [NODE, WEB / "predict.mjs", tmp_path / "m.onnx", four_way / "golden.npz"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "limits that are not in order in 0 to 1" in done.stderr


@needs_runtime
def test_server_sends_listed_files_only_with_a_strict_policy(address):
    response, body = get(address, "/")
    assert response.status == 200
    assert b"nothing is sent anywhere" in body
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "http" not in policy
    for path in ("/../server.py", "/server.py", "/node_modules/x", "//etc/passwd", "/%2e%2e/server.py"):
        assert get(address, path)[0].status == 404
    assert get(address, "/", Host="evil.example:80")[0].status == 421
    assert get(address, "/", method="POST")[0].status == 501
    response, body = get(address, "/model.onnx", method="HEAD")
    assert (response.status, body) == (200, b"")


def test_page_loads_nothing_from_another_host():
    for path in (WEB / "page").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "http:" not in text
        assert "https:" not in text


@pytest.mark.parametrize(
    ("header", "status"),
    [
        *((host, 404) for host in ("localhost", "127.0.0.1", "LOCALHOST:80", "127.0.0.1:", "[::1]", "[::1]:8765")),
        *((host, 421) for host in ("", "evil.example", "localhost.evil.example:80", "evil.example@localhost",
                                   "[::1", "::1", "[localhost]", "localhost:80:80", "localhost:x")),
    ],
)  # fmt: skip
def test_the_page_is_served_under_the_names_of_this_machine_with_and_without_a_port(header, status):
    with web.make_server({}, 0) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        found = get(server.server_address, "/", Host=header)[0].status
        thread.join()
    assert found == status


def test_missing_runtime_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(web, "RUNTIME", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"run: npm ci --prefix {web.FOLDER}$"):
        web.site(tmp_path / "model.onnx")


def test_an_installed_copy_takes_the_runtime_of_the_clone_it_is_started_in(tmp_path, monkeypatch):
    monkeypatch.setattr(web, "RUNTIME", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    (web.CLONE / web.INSTALLED).mkdir(parents=True)
    (web.CLONE / "package-lock.json").touch()
    with pytest.raises(InputError, match=r"run: npm ci --prefix export/web$"):
        web.site(tmp_path / "model.onnx")
    for name in web.RUNTIME_FILES:
        (web.CLONE / web.INSTALLED / name).touch()
    name = web.RUNTIME_FILES[0]
    assert web.site(tmp_path / "model.onnx")[f"/ort/{name}"] == tmp_path / web.CLONE / web.INSTALLED / name


def test_port_in_use(tmp_path):
    with web.make_server({}, 0) as taken, pytest.raises(InputError, match="--port"):
        web.make_server({}, taken.server_address[1])


def test_lock_file_is_pinned_and_names_no_host():
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert "resolved" not in (WEB / "package-lock.json").read_text()
    wanted = json.loads((WEB / "package.json").read_text())["dependencies"]["onnxruntime-web"]
    assert lock["packages"]["node_modules/onnxruntime-web"]["version"] == wanted


needs_sharp = pytest.mark.skipif(
    not (NODE and (WEB / "node_modules" / "sharp").is_dir()), reason="needs node, and npm ci --prefix export/web"
)


def in_node(*words):
    command = [str(word) for word in (NODE, WEB / "predict.mjs", *words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@needs_sharp
def test_node_answers_images_as_python_does(four_way, xrays):
    done = in_node(four_way / "model.onnx", *sorted(xrays.iterdir()))
    assert done.returncode == 0, done.stderr
    assert "not-an-image.jpeg: This is not a JPEG or PNG file" in done.stderr
    classifier, lines = Classifier(four_way), done.stdout.splitlines()
    assert len(lines) == 6
    for line, path in zip(lines, sorted(xrays.glob("?-*")), strict=True):
        probability, decision, name = line.split()[:3]
        expected = classifier.predict_file(path)
        assert name == str(path)
        assert decision == expected.decision
        assert float(probability) == pytest.approx(expected.probability, abs=0.01)


def say_the_same(four_way, folder, said):
    """Assert that decision and reasons of each file of a folder are those of Python."""
    classifier = Classifier(four_way)
    expected = {path.name: classifier.predict_file(path) for path in folder.iterdir()}
    for name, answer in expected.items():
        found, wanted = said[name], (answer.decision, "; ".join(answer.reasons))
        shown = "its familiarity is [0-9.]+"
        assert (found[0], re.sub(shown, "", found[1])) == (wanted[0], re.sub(shown, "", wanted[1])), name
    remarks = [any("partly transparent" in text for text in answer.reasons) for answer in expected.values()]
    colours = [any("in colour" in text for text in answer.reasons) for answer in expected.values()]
    assert {*remarks} == {*colours} == {True, False}


def write_transparent(folder):
    folder.mkdir()
    for name, data in transparent_pngs().items():
        (folder / f"{name.replace(' ', '-')}.png").write_bytes(data)
    return folder


@needs_sharp
def test_node_says_of_transparent_pictures_what_python_says(four_way, tmp_path):
    folder = write_transparent(tmp_path / "files")
    done = in_node(four_way / "model.onnx", *sorted(folder.iterdir()))
    assert (done.returncode, done.stderr) == (0, "")
    lines = (re.fullmatch(r"\S+ (\S+) (\S+)(?: \((.*)\))?\s*", line) for line in done.stdout.splitlines())
    say_the_same(four_way, folder, {Path(line[2]).name: (line[1], line[3] or "") for line in lines})


@needs_runtime
@needs_browser
def test_page_says_of_transparent_pictures_what_python_says(four_way, tmp_path):
    folder = write_transparent(tmp_path / "files")
    with served(four_way) as address:
        seen = in_browser(address, folder)
    assert seen["errors"] == []
    say_the_same(four_way, folder, {card["name"]: (card["decision"], card["reasons"]) for card in seen["cards"]})


@needs_runtime
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "usage: node predict.mjs"),
        (["model.onnx"], "usage: node predict.mjs"),
        (["model.onnx", "--fast", "x.jpeg"], "usage: node predict.mjs"),
        (["nothing.onnx", "x.jpeg"], "nothing.onnx cannot be read (ENOENT)"),
        (["model.onnx", "nothing.npz"], "nothing.npz cannot be read (ENOENT)"),
        (["model.onnx", "nothing.jpeg"], "nothing.jpeg cannot be read (ENOENT)"),
        (["model.onnx", "model.npz"], "model.npz: golden.npz is not a zip file"),
        (["model.npz", "x.jpeg"], "model.npz: "),
    ],
)
def test_node_says_what_is_wrong_in_one_line(exported, tmp_path, words, said):
    shutil.copy(exported / "model.onnx", tmp_path)
    (tmp_path / "model.npz").write_text("no model and no arrays")
    done = in_node(*(tmp_path / word if "." in word and word != "x.jpeg" else word for word in words))
    assert done.returncode == 2
    assert said in done.stderr
    assert "    at " not in done.stderr


@needs_runtime
def test_node_shows_its_usage_when_asked():
    done = in_node("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage:")
