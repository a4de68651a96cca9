"""Fuzz OpenCV's decoders with AddressSanitizer: `python tests/fuzz/sanitized_decoders.py SOURCE --cases 100000`.

SOURCE is the unpacked source of the release of opencv-python-headless that `constraints.txt` names, from PyPI. Its
readers of JPEG and PNG (libjpeg-turbo, libpng and zlib among them) are built with AddressSanitizer beside it, which
needs cmake, a C++ compiler and half an hour of one core. Then changed JPEGs and PNGs are decoded by that build alone,
without the checks by which this library refuses most of them. A wrong access to memory ends it, and the input is kept.
"""

import argparse
import itertools
import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

HELPERS = Path(__file__).parents[1] / "helpers"
sys.path.append(str(HELPERS))

from test_images import jpegs, pngs  # noqa: E402  # its imports need the folder above

from image_files import png_chunk  # noqa: E402

SANITIZED = "-fsanitize=address -O1 -g -fno-omit-frame-pointer"
WITHOUT = (
    "AVIF", "EIGEN", "IPP", "ITT", "JASPER", "JPEGXL", "LAPACK", "OPENCL", "OPENEXR", "OPENJPEG", "PROTOBUF", "QUIRC",
    "TIFF", "WEBP",
)  # fmt: skip
OPTIONS = (
    *(f"-DWITH_{name}=OFF" for name in WITHOUT),
    *(
        f"-DBUILD_{name}=OFF"
        for name in ("SHARED_LIBS", "TESTS", "PERF_TESTS", "JAVA", "opencv_apps", "opencv_python3")
    ),
    *(f"-DBUILD_{name}=ON" for name in ("JPEG", "PNG", "ZLIB")),
    *(f"-DCMAKE_{language}_FLAGS={SANITIZED}" for language in ("C", "CXX")),
    "-DBUILD_LIST=core,imgproc,imgcodecs",
    "-DCPU_DISPATCH=",
)
FLAGS = (cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH, cv2.IMREAD_UNCHANGED, cv2.IMREAD_REDUCED_GRAYSCALE_2)
"""Of those with which the library decodes."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def build(source: Path) -> Path:
    """Build the decoder beside the source, unless that is done; return it."""
    folder = source.resolve().with_name("sanitized")
    decoder = folder / "decode_frames"
    if not decoder.exists():
        subprocess.run(["cmake", "-S", source / "opencv", "-B", folder, *OPTIONS], check=True)
        subprocess.run(["cmake", "--build", folder, "--parallel", str(os.cpu_count())], check=True)
        includes = [f"-I{path}" for path in (folder, *(source / "opencv/modules").glob("*/include"))]
        libraries = [*(folder / "lib").glob("libopencv_*.a"), *(folder / "3rdparty/lib").glob("*.a")]
        group = ["-Wl,--start-group", *libraries, "-Wl,--end-group", "-lpthread", "-ldl"]
        code = HELPERS / "decode_frames.cpp"
        subprocess.run(["c++", *SANITIZED.split(), *includes, code, *group, "-o", decoder], check=True)
    return decoder


def changed(data: bytes, random: np.random.Generator) -> bytes:
    """Change, cut out or repeat one to eight places; the checksums of a PNG are mostly made right again."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        start, length = random.integers(len(found)), random.integers(1, 9)
        match random.integers(4):
            case 0:
                found[start] = random.integers(256)
            case 1:
                found[start] ^= 1 << random.integers(8)
            case 2 if len(found) > 64:
                del found[start : start + length]
            case _:
                found[start:start] = found[start : start + length]
    right = found.startswith(PNG_SIGNATURE) and random.random() < 0.9
    return with_checksums(bytes(found)) if right else bytes(found)


def with_checksums(data: bytes) -> bytes:
    """Write the chunks of a PNG again with checksums that fit, as far as their lengths lead."""
    at, chunks = len(PNG_SIGNATURE), [PNG_SIGNATURE]
    while at + 12 <= len(data) and at + 12 + (length := int.from_bytes(data[at : at + 4])) <= len(data):
        chunks.append(png_chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join([*chunks, data[at:]])


def fuzz(decoder: Path, cases: int, seed: int) -> Counter[str]:
    """Decode `cases` changed files; return how many were decoded and refused. Exit if the decoder did."""
    random, counts = np.random.default_rng(seed), Counter()
    originals = (*jpegs(), *pngs())
    kept, report = decoder.with_name("last-input"), decoder.with_name("report")
    environment = os.environ | {"ASAN_OPTIONS": f"log_path={report}"}  # apart from what the libraries complain of
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([decoder], env=environment, **pipes) as process:
        for _, original in zip(range(cases), itertools.cycle(originals), strict=False):
            data, flags = changed(original, random), int(random.choice(FLAGS))
            process.stdin.write(struct.pack("ii", flags, len(data)) + data)
            process.stdin.flush()
            answer = process.stdout.read(12)
            if len(answer) < 12:
                kept.write_bytes(data)
                sys.exit(f"the decoder ended: {report}.*; its last input is {kept}, with flags {flags}")
            height, width, _ = struct.unpack("iii", answer)
            counts["decoded" if height * width else "refused"] += 1
        process.stdin.close()
        if process.wait():  # such as for leaks, which it counts last
            sys.exit(f"the decoder ended with {process.returncode}: {report}.*")
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the folder with opencv/ in it")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(dict(fuzz(build(arguments.source), arguments.cases, arguments.seed)))
