"""Fuzz OpenCV's decoders with AddressSanitizer: `python tests/fuzz/sanitized_decoders.py SOURCE`.

SOURCE is the unpacked source of the release of opencv-python-headless that `constraints.txt` names, from PyPI. Its
readers of JPEG and PNG (libjpeg-turbo, libpng and zlib among them) are built with AddressSanitizer beside it, which
needs cmake and a C++ compiler and takes some ten minutes of two cores. Then the tests of `test_images.py` run with
10,000 cases each; every input that they give to `cv2.imdecode` is decoded by that build too. A wrong access to memory
ends it, and the input is kept.
"""

import argparse
import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import pytest

HELPERS = Path(__file__).parents[1] / "helpers"
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


class Sanitized:
    """A pytest plugin that gives each input of `cv2.imdecode` to the sanitized decoder too."""

    def __init__(self, decoder: Path) -> None:
        self.decode, self.counts, self.kept = cv2.imdecode, Counter(), decoder.with_name("last-input")
        self.process = subprocess.Popen([decoder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cv2.imdecode = self.imdecode

    def imdecode(self, data, flags):
        self.kept.write_bytes(data)
        self.process.stdin.write(struct.pack("ii", flags, len(data)) + data.tobytes())
        self.process.stdin.flush()
        answer = self.process.stdout.read(12)
        if len(answer) < 12:
            pytest.exit(f"the sanitized decoder ended; its last input is {self.kept}, with flags {flags}", 1)
        height, width, _ = struct.unpack("iii", answer)
        self.counts["decoded" if height * width else "refused"] += 1
        return self.decode(data, flags)

    def pytest_sessionfinish(self):
        self.process.stdin.close()
        if self.process.wait():  # such as for leaks, which it counts last
            pytest.exit(f"the sanitized decoder ended with {self.process.returncode}", 1)
        print(f"\n{dict(self.counts)} by the sanitized decoder")


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the folder with opencv/ in it")
    decoder = build(parser.parse_args().source)
    tests = [str(Path(__file__).with_name("test_images.py")), "--long", "-q", "-s", "-p", "no:cacheprovider"]
    sys.exit(pytest.main(tests, plugins=[Sanitized(decoder)]))
