"""Words for the chest and for other parts of the body, as people write them into headers."""

from __future__ import annotations

import re
import unicodedata

_CHEST = ("CHEST", "THORA", "TORAX", "TÓRAX", "TORAC", "LUNG", "PULM", "POLMON", "POUMON", "PECHO", "POITRINE")
"""Parts of words for chest or lungs in English, French, German, Italian, Portuguese and Spanish."""
_CHEST_WORDS = ("BRUST", "BRUSTKORB", "CHST", "CXR", "PEITO", "PETTO", "THX", "TX")
"""Whole words and abbreviations for it; `BRUSTWIRBEL`, for example, is the spine."""

_ARM = (  # without French "main" and Spanish "pie", which mean something else too
    "HAND HANDS HÄNDE HAENDE HANDGELENK HANDGELENKE HANDWURZEL MANO MANOS WRIST WRISTS POIGNET MUÑECA MUNECA FINGER "
    "FINGERS THUMB DAUMEN DEDO DEDOS DOIGT FOREARM UNTERARM ANTEBRAZO ELBOW ELBOWS ELLBOGEN ELLENBOGEN CODO COUDE "
    "HUMERUS OBERARM SHOULDER SHOULDERS SCHULTER HOMBRO ÉPAULE EPAULE "
)
_LEG = (
    "KNEE KNEES KNIE KNIEGELENK PATELLA RODILLA GENOU FOOT FEET FUSS FÜSSE FUESSE VORFUSS ANKLE ANKLES SPRUNGGELENK "
    "TOBILLO CHEVILLE TOE TOES ZEHE ZEHEN ORTEIL CALCANEUS TIBIA FIBULA FEMUR FÉMUR UNTERSCHENKEL OBERSCHENKEL HIP "
    "HIPS HÜFTE HUEFTE HÜFTGELENK CADERA HANCHE PELVIS BECKEN BECKENÜBERSICHT "
)
_REST = (
    "SPINE CSPINE LSPINE HWS BWS LWS WIRBELSÄULE WIRBELSAEULE COLUMNA RACHIS LUMBAR SACRUM ABDOMEN ABDOMINAL "
    "ABDOMENÜBERSICHT KUB SKULL SCHÄDEL SCHAEDEL CRÁNEO CRANEO CRÂNE MANDIBLE ORTHOPANTOMOGRAM DENTAL MAMMOGRAPHY "
    "MAMMOGRAPHIE MAMOGRAFÍA MAMOGRAFIA"
)
_OTHERS = frozenset(f"{_ARM} {_LEG} {_REST}".split())
"""Whole words for other parts in English, French, German and Spanish, if they mean nothing else in a description."""


def names_chest(text: str) -> bool:
    """Return whether a text names the chest, perhaps among other parts."""
    return any(part in _upper(text) for part in _CHEST) or any(word in _CHEST_WORDS for word in _words(text))


def names_other_part(text: str) -> bool:
    """Return whether a text, such as `Handgelenk rechts`, names another part of the body."""
    return not _OTHERS.isdisjoint(_words(text))


def _upper(text: str) -> str:
    return unicodedata.normalize("NFC", text).upper()


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", _upper(text))
