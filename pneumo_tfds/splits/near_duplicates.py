"""Find near-identical images: copies that were turned, shifted, cropped, mirrored, inverted, rescaled or recompressed.

Two steps. First every image gets a signature that these changes hardly alter, the Fourier-Mellin invariants of Reddy
and Chatterji (IEEE Trans. Image Processing 5, 1996): the magnitude of a spectrum does not depend on shifts and sign,
the harmonics of that magnitude along a circle do not depend on turns and mirroring, and wider circles stand for larger
scales. Matrix products compare all pairs. Then the few pairs of similar signatures are aligned and compared in detail.

All thresholds were measured on the 5,216 training images at 224 x 224 pixels, and on changed copies of 300 of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from pneumo_tfds.program.parallel import ordered_map

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Named = TypeVar("Named")
"""An image, or its name."""

SIDE = 64
"""Pixels a side of the thumbnails that are compared."""

COVERED = (
    "turned by up to 5 degrees or by quarter turns, shifted by up to 3 %, cropped by up to 5 % a side, mirrored, "
    "inverted, rescaled, recompressed, or of other exposure or contrast, alone or two at once (99 % of them found)"
)
NOT_COVERED = "copies that are changed more, or have other parts covered or drawn on"

MIN_SIMILARITY = 0.83
"""Least cosine of the signatures of a pair that is aligned. 99 % of the copies of each kind reach 0.835, and 1,600 of
the 13.6 million pairs of the images themselves."""

MIN_CORRELATION = 0.925
"""Least correlation of the detail of near-identical images. 99.3 % of the copies of each kind reach it. Images of
different patients reach 0.70 at most, two exposures of one patient 0.83. Phantoms, which are drawn with little detail,
reach 0.93."""

_SCALES, _RINGS, _ANGLES, _HARMONICS = 3, 12, 32, 14
_SCALE = 1.05
"""Ratio of the scales that are compared. An image that is cropped by 5 % on all sides grows by 1.11."""
_LOWEST, _FREQUENCIES = 2.0, 13
"""The lowest frequency of the rings, and a bound of the highest, in periods per image."""
_COARSE = 48
"""Pixels a side at which signatures are computed and pairs are aligned before the last step."""
_MIN_COARSE = 0.85
"""Least correlation at that size; below it the last step is left out."""
_VIEW = 32
"""Pixels a side at which the orientation and shift of a pair are found."""
_MAX_SHIFT = 3
"""Largest shift, in pixels at that size."""
_RIM = 7
"""Pixels at the border that are not compared, because shifting and turning leave some of it empty."""
_BLOCK = 1 << 24
"""Pairs that are compared in one matrix product; their similarities take 64 MiB."""

_places = np.arange(_COARSE) / (2 * _COARSE)  # a spectrum of twice the resolution, so that circles can be read from it
_waves = np.exp(-2j * np.pi * np.outer(np.arange(2 * _FREQUENCIES), _places)) * np.hanning(_COARSE + 2)[1:-1]
_WAVES = np.concatenate([_waves.real, _waves.imag]).astype(np.float32)
_radius = 2 * _LOWEST * _SCALE ** np.arange(_RINGS * _SCALES)[:, None]
_angle = np.linspace(-np.pi / 2, np.pi / 2, _ANGLES, endpoint=False)
_CIRCLES_X = (_radius * np.cos(_angle)).astype(np.float32)
_CIRCLES_Y = (_radius * np.sin(_angle) + 2 * _FREQUENCIES - 1).astype(np.float32)
_hann = np.hanning(_VIEW + 2)[1:-1]
_WINDOW = np.outer(_hann, _hann).astype(np.float32)


def thumbnail(grey: Grey) -> Grey:
    """Reduce a grey image, uint8 `[height, width]`, to uint8 `[SIDE, SIDE]`; halving first is three times as fast."""
    while min(grey.shape) >= 2 * SIDE and not any(side % 2 for side in grey.shape):
        grey = np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    interpolation = cv2.INTER_AREA if min(grey.shape) >= 2 * SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=interpolation), dtype=np.uint8)


def near_groups(
    thumbnails: Sequence[Grey], sides: Sequence[str] | None = None, workers: int | None = None
) -> list[list[int]]:
    """Return groups of two or more indices of near-identical images, linked directly or through others.

    Args:
        thumbnails: what `thumbnail` returned, for each image.
        sides: for each image the split it is in; then only images of different splits are compared.
        workers: threads; None for one per core.
    """
    if not thumbnails:
        return []
    group = np.arange(len(thumbnails))
    chunks = [thumbnails[start : start + 64] for start in range(0, len(thumbnails), 64)]
    signatures = np.concatenate(list(ordered_map(_signatures, chunks, workers)), axis=1)

    def same(pair: Indices) -> bool:
        return correlation(thumbnails[pair[0]], thumbnails[pair[1]]) >= MIN_CORRELATION

    for pairs in _similar(signatures, sides):
        for start in range(0, len(pairs), 64):
            batch = pairs[start : start + 64]
            batch = batch[group[batch[:, 0]] != group[batch[:, 1]]]
            for (one, other), found in zip(batch, ordered_map(same, batch, workers), strict=True):
                if found:
                    group[group == group[other]] = group[one]
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return sorted(part.tolist() for part in parts if len(part) > 1)


def near_groups_of_copies(
    copies: Sequence[Sequence[Named]],
    thumbnails: Sequence[Grey],
    sides: Sequence[str] | None = None,
    workers: int | None = None,
) -> list[list[Named]]:
    """Return groups of near-identical images with all their byte-identical copies, of which one is compared.

    Args:
        copies: the byte-identical images, a group for each thumbnail; mostly groups of one.
        thumbnails: what `thumbnail` returned, for each group.
        sides: for each group the split it is in; then only groups of different splits are compared.
        workers: threads; None for one per core.
    """
    near = near_groups(thumbnails, sides, workers)
    return [[each for index in indices for each in copies[index]] for indices in near]


def _similar(signatures: Floats, sides: Sequence[str] | None) -> Iterator[Indices]:
    """Yield arrays `[pairs, 2]` of the indices of images of similar signatures, the lower index first.

    Either image of a pair may be the one of larger scale. Without `sides` every image is both a row and a column, which
    sees to that; with them each pair is looked at once, from its first side, and either image is scaled.
    """
    every = np.arange(signatures.shape[1])
    split = np.asarray(sides if sides is not None else [""] * len(every))
    for side in np.unique(split):
        rows, columns = (every, every) if sides is None else (every[split == side], every[split > side])
        scaled = signatures[:, rows]
        other = signatures[:1, columns] if sides is None else signatures[:, columns]
        step = max(1, _BLOCK // max(1, len(columns)))
        for start in range(0, len(rows), step):
            block = scaled[:, start : start + step]
            found = [np.flatnonzero(part @ other[0].T > MIN_SIMILARITY) for part in block]
            found += [np.flatnonzero(block[0] @ part.T > MIN_SIMILARITY) for part in other[1:]]
            row, column = np.divmod(np.unique(np.concatenate(found)), len(columns))
            pairs = np.sort(np.stack([rows[start + row], columns[column]], axis=1), axis=1)
            yield np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


def _detail(image: Grey, window: int) -> Floats:
    """Return an image less the mean of `window` pixels around, over their deviation: float32 of the same shape."""
    rest = image.astype(np.float32)
    rest -= cv2.blur(rest, (window, window))
    return np.asarray(rest / (cv2.sqrt(cv2.blur(rest * rest, (window, window))) + np.float32(4.0)), dtype=np.float32)


def _coarse(image: Grey) -> Floats:
    return _detail(np.asarray(cv2.resize(image, (_COARSE, _COARSE)), dtype=np.uint8), 9)


def _signatures(thumbnails: Sequence[Grey]) -> Floats:
    """Return float32 `[scales, images, values]`, each of length 1, or of zeros if the image has no detail."""
    count = 2 * _FREQUENCIES
    waves = _WAVES @ np.stack([_coarse(image) for image in thumbnails]) @ _WAVES.T
    even, odd = waves[:, :count], waves[:, count:]
    real, imaginary = even[:, :, :count], even[:, :, count:]
    crossed, squared = odd[:, :, :count], odd[:, :, count:]
    below = np.square(real + squared) + np.square(imaginary - crossed)  # of negative vertical frequencies
    above = np.square(real - squared) + np.square(imaginary + crossed)
    magnitude = np.concatenate([below[:, :0:-1], above], axis=1) ** np.float32(0.25)
    rings = np.stack([cv2.remap(spectrum, _CIRCLES_X, _CIRCLES_Y, cv2.INTER_LINEAR) for spectrum in magnitude])
    rings /= rings.mean(axis=2, keepdims=True) + np.float32(1e-6)
    harmonics = np.abs(np.fft.rfft(rings, axis=2)[:, :, 1 : 1 + _HARMONICS]) ** np.float32(0.7)
    values = harmonics.reshape(len(thumbnails), _RINGS, _SCALES, _HARMONICS)
    values = np.moveaxis(values - values.mean(axis=1, keepdims=True), 2, 0).reshape(_SCALES, len(thumbnails), -1)
    return np.asarray(values / (np.linalg.norm(values, axis=2, keepdims=True) + np.float32(1e-6)), dtype=np.float32)


def correlation(one: Grey, other: Grey) -> float:
    """Align two thumbnails and return the correlation of their details, -1 to 1; 0 if they cannot be aligned.

    The best of eight orientations, the sign and the shift come from the cross-correlation. Then an affine map is fitted
    by maximising the correlation (Evangelidis and Psarakis, IEEE Trans. Pattern Anal. Mach. Intell. 30, 2008).
    """
    source, target = (cv2.resize(_coarse(x), (_VIEW, _VIEW), interpolation=cv2.INTER_AREA) for x in (one, other))
    views = np.stack([_oriented(source, view) for view in range(8)])
    peaks = np.fft.irfft2(np.conj(np.fft.rfft2(views * _WINDOW)) * np.fft.rfft2(target * _WINDOW))
    peaks = np.roll(peaks, (_MAX_SHIFT, _MAX_SHIFT), axis=(1, 2))[:, : 2 * _MAX_SHIFT + 1, : 2 * _MAX_SHIFT + 1]
    view, y, x = map(int, np.unravel_index(np.abs(peaks).argmax(), peaks.shape))
    sign = np.float32(np.sign(peaks[view, y, x]))
    fine, fine_target = _oriented(_detail(one, 5), view), sign * _detail(other, 5)
    warp = np.array([[1, 0, _MAX_SHIFT - x], [0, 1, _MAX_SHIFT - y]], np.float32)
    try:
        reached, warp = _fit(views[view], sign * target, warp, 20, 3)
        if reached < _MIN_COARSE:
            return reached
        _, warp = _fit(fine, fine_target, _magnified(warp, SIDE / _VIEW), 10, 3)
    except cv2.error:  # it does not converge: these are different images
        return 0.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(fine, warp, (SIDE, SIDE), flags=flags, borderValue=np.nan)
    inner = np.s_[_RIM:-_RIM, _RIM:-_RIM]
    covered = np.isfinite(laid[inner])
    if covered.mean() < 0.5:
        return 0.0
    a, b = laid[inner][covered], fine_target[inner][covered]
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-6))


def _fit(source: Floats, target: Floats, warp: Floats, steps: int, blur: int) -> tuple[float, Floats]:
    limits = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, steps, 1e-3)
    reached, warp = cv2.findTransformECC(target, source, warp, cv2.MOTION_AFFINE, limits, None, blur)
    return reached, warp


def _magnified(warp: Floats, factor: float) -> Floats:
    """Return the affine map, `[2, 3]`, for images that are larger by `factor`; pixels are counted at their centres."""
    turn, centre = warp[:, :2], (1 / factor - 1) / 2
    return np.column_stack([turn, factor * (turn.sum(axis=1) * centre + warp[:, 2] - centre)]).astype(np.float32)


def _oriented(image: Floats, view: int) -> Floats:
    """Return `image` turned by quarter turns, and from view 4 on mirrored first."""
    return np.ascontiguousarray(np.rot90(image[:, ::-1] if view >= 4 else image, view % 4))
