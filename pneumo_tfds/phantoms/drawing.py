"""Draw phantoms: chest radiographs for runs, tests and benchmarks without patient data. Not medical images.

A phantom is a sum of smooth densities (soft tissue, lungs, ribs, spine, heart, diaphragm, clavicles, vessels) drawn
on a coarse grid, then enlarged, exposed, collimated and given grain at full size. The positive class gets opacities: a
ragged lobar consolidation (`bacteria`) or patchy, reticular shadows in both lungs (`virus`). Shortcuts are blocked:
normals get smooth haze of the same mean density, and exposure varies more than any opacity.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.floating[Any]]

VERSION = 1
"""Version of the drawing; raised when the same seed draws another picture, so that old datasets are not reused."""

_COARSE = 4
"""Pixels of the image per pixel of the coarse grid, in each direction."""

MATCHED = 0.4
"""Share of an opacity's mean density that is taken out of its haze, so that all classes have similar mean densities:
1 hides the class completely from the mean grey level, 0 leaves it fully visible."""

Anatomy = dict[str, float]
Pose = dict[str, Any]
"""Properties that differ between the images of one patient; width and height are pixels."""

ANATOMY_BOUNDS = {
    "lung_width": (0.36, 0.44),
    "lung_height": (0.74, 0.92),
    "gap": (0.46, 0.53),
    "heart": (0.24, 0.36),
    "ribs": (0.155, 0.19),
    "rib_slope": (0.20, 0.42),
    "rib_contrast": (0.03, 0.08),
    "spine": (0.06, 0.14),
    "shoulder": (0.9, 1.1),
    "vessels": (0.04, 0.12),
    "tissue": (0.42, 0.56),
}
"""Bounds of the properties that are the same in all images of one patient. Lengths are in half widths of the chest."""


def render(seed: int, patient: str, name: str, subtype: str) -> npt.NDArray[np.uint8]:
    """Draw a phantom, uint8 `[height, width]`, about 1,000 x 1,400. The same arguments give the same image.

    `seed` and `patient` determine the anatomy; with `name` they determine pose, exposure, grain and opacities.
    `subtype` is `normal`, `bacteria` or `virus`.
    """
    random = _generator(seed, patient)
    anatomy = {name: random.uniform(*bounds) for name, bounds in ANATOMY_BOUNDS.items()}
    random = _generator(seed, patient, name)
    pose = _sample_pose(random)
    density, lungs = _draw(anatomy, pose, random)
    density += _opacity(subtype, lungs, random)
    return _expose(density, pose, random)


def _generator(*key: object) -> np.random.Generator:
    digest = hashlib.sha256(repr((VERSION, *key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _sample_pose(random: np.random.Generator) -> Pose:
    width = int(random.uniform(1150, 1700)) // 8 * 8
    return {
        "width": width,
        "height": int(width / random.uniform(1.15, 1.65)) // 8 * 8,
        "angle": random.normal(0.0, 3.0),
        "scale": random.uniform(0.86, 1.12),
        "shift_x": random.normal(0.0, 0.05),
        "shift_y": random.normal(0.0, 0.06),
        "breath": random.uniform(-0.08, 0.08),
        "rotation": random.normal(0.0, 0.05),
    }


def _grid(pose: Pose) -> tuple[Field, Field]:
    """Return coordinates of the chest for every grid pixel: x from -1 to 1 over its width, y over its height."""
    sides = (pose["width"] // _COARSE, pose["height"] // _COARSE)
    x, y = np.meshgrid(*(np.linspace(-1.12, 1.12, side, dtype=np.float32) for side in sides))
    turn = np.deg2rad(pose["angle"])
    cosine, sine = np.float32(np.cos(turn) / pose["scale"]), np.float32(np.sin(turn) / pose["scale"])
    x, y = x - np.float32(pose["shift_x"]), y - np.float32(pose["shift_y"])
    return cosine * x + sine * y, cosine * y - sine * x


def _step(value: Field, softness: float) -> Field:
    """Return a smooth step from 0 to 1 at value 0."""
    return np.asarray(0.5 + 0.5 * np.tanh(value * np.float32(1.0 / softness)), dtype=np.float32)


def _bump(value: Field, width: float) -> Field:
    return np.asarray(np.exp(-np.square(value * np.float32(1.0 / width))), dtype=np.float32)


def _draw(anatomy: Anatomy, pose: Pose, random: np.random.Generator) -> tuple[Field, Field]:
    """Draw a healthy chest; return its density and how much of each pixel is lung (0 to 1)."""
    x, y = _grid(pose)
    side = np.where(x < pose["rotation"], np.float32(-1.0), np.float32(1.0))
    across = np.abs(x - np.float32(pose["rotation"]))
    body = _step(1.02 * anatomy["shoulder"] - across - 0.25 * np.maximum(-y - 0.55, 0.0) ** 2 * 6.0, 0.05)
    neck = _bump(across, 0.30) * _step(-y - 0.75, 0.12)
    # Lungs: half ellipses, narrow at the top, cut below by the domes of the diaphragm (the right one higher).
    middle = np.float32(anatomy["gap"]) + 0.05 * y
    wide = anatomy["lung_width"] * (1.0 - 0.34 * np.clip(-y, 0.0, 1.0) ** 1.5) * (1.0 + 0.25 * pose["rotation"] * side)
    radius = ((across - middle) / wide) ** 2 + ((y + 0.10) / anatomy["lung_height"]) ** 4
    dome = 0.60 + pose["breath"] - 0.10 * _bump(across - middle, 0.30) + 0.03 * side
    lungs = _step(1.0 - radius, 0.16) * _step(dome - y, 0.035)
    shadow_x, shadow_y = x - np.float32(pose["rotation"] + 0.16), y - np.float32(0.26 + 0.5 * pose["breath"])
    heart = _step(1.0 - (shadow_x / (anatomy["heart"] + 0.14)) ** 2 - (shadow_y / 0.42) ** 2, 0.22)
    mediastinum = _step(0.13 + 0.05 * np.sin(2.5 * y) - across, 0.05)
    density = anatomy["tissue"] * np.maximum(body, neck)
    density -= (anatomy["tissue"] - 0.12) * lungs * (1.0 - 0.85 * heart)
    density += 0.16 * heart * body + 0.16 * mediastinum + 0.10 * _step(y - dome, 0.08) * body
    density += anatomy["spine"] * _bump(across, 0.10) * (0.75 + 0.25 * np.cos(y * np.float32(2 * np.pi / 0.135)))
    density += _ribs(anatomy, across, y, body * _step(dome + 0.25 - y, 0.1))
    density += 0.13 * _bump(y + 0.70 + 0.16 * (across - 0.45), 0.035) * _step(across - 0.12, 0.04) * body
    blade = ((across - 0.93) / 0.16) ** 2 + ((y + 0.42) / 0.34) ** 2
    density += 0.09 * _step(1.0 - blade, 0.3) * body
    density += anatomy["vessels"] * _vessels(pose, lungs, random)
    return density.astype(np.float32), lungs * (1.0 - 0.7 * heart)


def _ribs(anatomy: Anatomy, across: Field, y: Field, inside: Field) -> Field:
    """Draw rows of soft bands: posterior ribs, which descend from the spine, and anterior ribs, which ascend to it."""
    posterior = y - anatomy["rib_slope"] * across**1.5
    anterior = y + 0.55 * anatomy["rib_slope"] * (1.0 - across) - 0.30 * (1.0 - across) ** 2
    turns = np.float32(2 * np.pi / anatomy["ribs"])
    bands = np.maximum(np.cos(posterior * turns), 0.0) ** 1.5 + 0.45 * np.maximum(np.cos(anterior * turns), 0.0) ** 2
    reach = _step(across - 0.10, 0.05) * _step(0.97 - across, 0.06)
    return np.asarray(anatomy["rib_contrast"] * bands * reach * inside, dtype=np.float32)


def _vessels(pose: Pose, lungs: Field, random: np.random.Generator) -> Field:
    """Draw branches from each hilum that get thinner outwards."""
    height, width = lungs.shape
    canvas = np.zeros((height, width), np.uint8)
    for side in (-1.0, 1.0):
        hilum = np.array([0.5 + 0.09 * side + 0.4 * pose["shift_x"], 0.49 + 0.4 * pose["shift_y"]]) * (width, height)
        for _ in range(random.integers(9, 15)):
            turn, bend = random.uniform(-1.25, 1.25), random.normal(0.0, 0.35)
            reach = np.linspace(0.0, random.uniform(0.10, 0.24), 7)
            course = turn + bend * reach / 0.2
            line = hilum + np.stack([side * np.cos(course) * reach * width, np.sin(course) * reach * height * 1.3], 1)
            points = np.round(line * 8).astype(np.int32)
            for thick, end in ((3, 3), (2, 5), (1, 7)):
                cv2.polylines(canvas, [points[:end]], False, int(random.integers(120, 255)), thick, cv2.LINE_AA, 3)
    soft = cv2.GaussianBlur(canvas, (0, 0), 1.1).astype(np.float32) / 255.0
    return np.asarray(soft * lungs, dtype=np.float32)


def noise(shape: tuple[int, int], cells: float, random: np.random.Generator) -> Field:
    """Return float32 smooth noise of `shape`, mean 0 and deviation 1, with about `cells` hills over the longer side."""
    height, width = shape
    unit = max(height, width) / cells
    small = random.standard_normal((int(height / unit) + 3, int(width / unit) + 3), dtype=np.float32)
    field = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-6), dtype=np.float32)


def _opacity(subtype: str, lungs: Field, random: np.random.Generator) -> Field:
    """Draw shadows over the lungs. Their mean density has one distribution for all classes; the pattern differs."""
    mass = random.uniform(0.025, 0.06)
    haze = lungs * np.exp(0.5 * noise(lungs.shape, 2.5, random))
    if subtype == "bacteria":
        shadow = random.uniform(0.28, 0.50) * _lobar(lungs, random)
    elif subtype == "virus":
        shadow = random.uniform(0.20, 0.32) * _interstitial(lungs, random)
    else:
        shadow = np.zeros_like(lungs)
    inside = float(lungs.mean())
    rest = max(0.0, mass - MATCHED * float(shadow.mean()) / inside)
    return np.asarray(shadow + rest * (inside / float(haze.mean())) * haze, dtype=np.float32)


def _lobar(lungs: Field, random: np.random.Generator) -> Field:
    """Draw one ragged, dense region somewhere in one lung, mottled inside. Its peak is about 1."""
    height, width = lungs.shape
    candidates = np.argwhere(lungs > 0.75)
    row, column = candidates[random.integers(len(candidates))]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    radius = random.uniform(0.075, 0.13) * width
    distance = np.hypot(x - column, (y - row) * random.uniform(0.75, 1.25)) / radius
    ragged = distance + 0.17 * noise((height, width), 20.0, random)
    side = _step((x - width / 2.0) * np.sign(column - width / 2.0) / width, 0.01)
    mottled = 0.88 + 0.10 * noise((height, width), 38.0, random)
    return np.asarray(_step(1.0 - ragged, 0.28) * np.clip(lungs, 0.0, 1.0) ** 0.5 * side * mottled, dtype=np.float32)


def _interstitial(lungs: Field, random: np.random.Generator) -> Field:
    """Draw a net of lines and small patches over both lungs, denser in some zones. Its peak is about 1."""
    shape = (lungs.shape[0], lungs.shape[1])
    net = np.exp(-np.square(1.1 * noise(shape, random.uniform(20.0, 30.0), random)))
    patches = np.clip(noise(shape, random.uniform(12.0, 20.0), random), 0.0, 2.0)
    zones = _step(noise(shape, 4.0, random) + 0.4, 0.8)
    return np.asarray(lungs * zones * (0.42 * net + 0.55 * patches), dtype=np.float32)


@lru_cache(maxsize=1)
def _grain() -> npt.NDArray[np.int8]:
    """Return a tile of white noise, deviation 32, larger than any phantom so that it is read at random offsets."""
    tile = np.random.default_rng(20180222).standard_normal((2048, 2560), dtype=np.float32)
    return np.asarray(np.clip(np.rint(32.0 * tile), -127, 127), dtype=np.int8)


def _expose(density: Field, pose: Pose, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Convert density to grey levels at full size, with uneven beam, gain, gamma, collimator, marker and grain."""
    beam = np.float32(1.0) + random.uniform(0.02, 0.09) * noise((density.shape[0], density.shape[1]), 1.2, random)
    film = np.clip(density * beam, 0.0, None)
    film = film / float(np.quantile(film, 0.98))
    film = np.clip(
        random.uniform(0.70, 1.02) * film ** random.uniform(0.65, 1.45) + random.uniform(0.0, 0.10), 0.0, 1.0
    )
    top, left, bottom, right = (int(random.uniform(0.0, 0.035) * side) for side in (*film.shape, *film.shape))
    if random.random() < 0.35:
        edge = np.zeros_like(film)
        edge[top : film.shape[0] - bottom, left : film.shape[1] - right] = 1.0
        film = film * edge
    grey = cv2.resize(
        np.rint(film * 255.0).astype(np.uint8), (pose["width"], pose["height"]), interpolation=cv2.INTER_CUBIC
    )
    if random.random() < 0.6:
        corner = (int(random.uniform(0.03, 0.12) * pose["width"]), int(random.uniform(0.08, 0.2) * pose["height"]))
        letter = random.choice(["R", "L"])
        cv2.putText(grey, letter, corner, cv2.FONT_HERSHEY_SIMPLEX, 2.2, 230, 5, cv2.LINE_AA)
    top, left = random.integers(0, 2048 - pose["height"]), random.integers(0, 2560 - pose["width"])
    grain = _grain()[top : top + pose["height"], left : left + pose["width"]]
    strength = float(random.uniform(2.0, 7.0) / 32.0)
    scaled = cv2.multiply(grain, strength, dtype=cv2.CV_16S)
    return np.asarray(cv2.add(grey, scaled, dtype=cv2.CV_8U), dtype=np.uint8)
