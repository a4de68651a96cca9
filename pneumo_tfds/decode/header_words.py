"""Words of DICOM headers for body parts and views, in English, French, German, Italian, Portuguese and Spanish.

Descriptions are free text, so only words are listed that mean one thing wherever they stand. French `main` (hand) and
Spanish `pie` (foot, and also standing) are not.
"""

from __future__ import annotations

import re
import unicodedata

_CHEST = re.compile(
    r"CHEST|THORA|TORAX|TORAC|(?<![A-Z])LUNG|PULM|POLMON|POUMON|PECHO|POITRINE"
    r"|(?<![A-Z])(BRUST|BRUSTKORB|CHST|CXR|PEITO|PETTO|THX|TX)(?![A-Z])"
)
"""Words for chest or lungs. `Brustwirbel` is the spine, and `Darstellung` ends like a lung."""

_CHEST_OF_SPINE = re.compile(r"TH?ORA[CK](?!E\b)[A-Z]*")
"""Words such as thoracic, which do not mean the chest beside a word for the spine."""

_SPINE = (
    "SPIN(E|ES|AL)|[CTL]SPINE|(TH?ORA[CK]|DORS)O ?LUMB[A-Z]*|[A-Z]*WIRBEL[A-Z]*|COLUMNA|COLUNA|COLONNA|RACHIS|"
    "VERTEBR[A-Z]*|[HBL]WS"
)

_PARTS = (
    _SPINE,
    "LUMB[AO][A-Z]*|CERVICAL|ZERVIKAL[A-Z]*|SCOLIOS[A-Z]*|SKOLIOSE[A-Z]*|SACR(AL|UM|O[A-Z]*)|COCCYX|KREUZBEIN",
    "HAND(S|GELENK[A-Z]*|WURZEL[A-Z]*|AUFNAHME)?|HAE?NDE|MITTELHAND[A-Z]*|MANOS?|BONE AGE|KNOCHENALTER",
    "WRISTS?|CARP(US|AL|O)|METACARP[A-Z]*|MUNECAS?|POIGNETS?|POLSO|PUNHO|SCAPHOID[A-Z]*|SKAPHOID[A-Z]*",
    "FINGERS?|THUMBS?|DAUMEN|DOIGTS?|POUCES?|DEDOS?|PULGAR",
    "FOREARMS?|UNTERARM[A-Z]*|OBERARM[A-Z]*|HUMERUS|ULNA|ANTEBRAZO|AVANT BRAS",
    "ELBOWS?|ELLE?N?BOGEN[A-Z]*|CODOS?|COUDES?|GOMITO|COTOVELO",
    "SHOULDERS?|SCHULTER[A-Z]*|HOMBROS?|EPAULES?|SPALLA|OMBRO|CLAVIC[A-Z]*|[CK]LAVIKULA|E?SCAPUL[A-Z]*|SCAPOLA",
    "SCHLUE?SSELBEIN[A-Z]*|OMOPLAT[A-Z]*|(STERNO|A[CK]ROMIO)[CK]LAV[A-Z]*|[AS]C (JOINTS?|GELENK[A-Z]*)",
    "RIBS?|RIPPEN[A-Z]*|COSTILLAS?|COSTELAS?|COSTOL[AE]|COTES|(GRIL|PARRILLA) COSTAL|ARCOS COSTAIS",
    "STERNUM|STERNAL|BRUSTBEIN[A-Z]*|ESTERNON|STERNO",
    r"(?<!\d )(FOOT|FEET)|[A-Z]*FUE?SS(ES?)?|PIEDS?|CALCANE[A-Z]*|TARS(US|AL)|METATARS[A-Z]*|HEELS?|FERSE",
    "ANKLES?|[A-Z]*SPRUNGGELENK[A-Z]*|TOBILLOS?|CHEVILLES?|CAVIGLIA|TORNOZELO|TOES?|ZEHEN?|GROSSZEHE|ORTEILS?",
    "KNEES?|KNIE[A-Z]*|RODILLAS?|GENOUX?|GINOCCHI[OA]|JOELHOS?|PATELLA[A-Z]*",
    "LEGS?|THIGHS?|TIBIA|FIBULA|FEMUR[A-Z]*|FEMORAL|[A-Z]*SCHENKEL[A-Z]*|PIERNAS?|MUSLOS?|JAMBES?|CUISSES?",
    "HIPS?|HUE?FT[A-Z]*|CADERAS?|HANCHES?|PELVI[SC]|PELVIEN|[A-Z]*BECKEN[A-Z]*|BASSIN|BACINO|BACIA",
    "LIMBS?|EXTREMIT[A-Z]*|EXTREMIDAD[A-Z]*|BRAS (DROIT|GAUCHE)|ART[OI] (INF|SUP)[A-Z]*|GANZBEIN[A-Z]*",
    "ABDOM[A-Z]*|KUB|BAUCH[A-Z]*|VIENTRE|ABD(?= *$| (AP|SUPINE|ERECT|X ?RAY))|(BA|BARIUM) (SWALLOW|MEAL|ENEMA)|IV[PU]",
    "SKULL|SCHAE?DEL[A-Z]*|CRANEO|CRANIUM|FACIAL|PARANASAL|ORBITS?|MANDIB[A-Z]*|MAXILL[A-Z]*|[A-Z]*KIEFER[A-Z]*",
    "SINUSES|NASAL BONES?|ZAHN|ZAEHNE|PANORAM[A-Z]*",
    "NASENNEBENHOE?HLEN?|NNH|OPG|DENTAL|TEETH|JAWS?|NECK|HALS|BREASTS?|MAMMO[A-Z]*",
)
_OTHER = re.compile(f"(?<![A-Z])({'|'.join(_PARTS)})(?![A-Z])")
_SPINES = re.compile(f"(?<![A-Z])({_SPINE})(?![A-Z])")

RADIOGRAPHY = ("CR", "DX", "RG", "DR", "XR")
"""Modalities of radiographs; RG is film, DR and XR are not in the standard and are written all the same."""
_RADIOGRAPHY_WORDS = re.compile("RX|(DIGITAL )?X ?RAYS?|R.{1,3}NTGEN[A-Z]*|((COMPUTED|DIGITAL) )?RADIOGRA[A-Z]*")
"""Words that stand in place of the code; of `Röntgen` also where its characters are read in another encoding."""

_HUMAN = re.compile("HUMAN|HOMO SAPIENS|MENSCH|HUMAIN|UMANO|PERSON")
_NO_ANSWER = re.compile("|N ?A|NONE|NIL|NULL|UNKNOWN|UNSPECIFIED|OTHER|NOT APPLICABLE|UNBEKANNT|KEINE")
_WIDER_PART = re.compile("TRUNK|TORSO|(WHOLE ?)?BODY|HEART|COR|RUMPF|TRONCO?|TRONC|UPPER BODY")
"""Body parts that hold the chest or lie in it."""
_PHANTOM = re.compile("[A-Z]*PHANTOM[A-Z]*|(?<![A-Z])FANTOM[AE]?(?![A-Z])|QUALITY CONTROL|FLAT ?FIELD|KONSTANZPRU")
_NO_PICTURE = re.compile(
    "DOSE (REPORT|INFO)[A-Z]*|SCREEN ?(SAVE|SHOT|CAPTURE)[A-Z]*|SCANNED [A-Z]+|(AI|CAD) (RESULT|REPORT|OUTPUT)[A-Z]*|"
    "BONE SUPPRESS[A-Z]*|DUAL ENERGY[A-Z ]*|SOFT TISSUE (ONLY|IMAGE)|BABYGRAM[A-Z]*"
)
"""What is made of a radiograph or sent beside it, or shows the whole body of a newborn."""
_TEST = re.compile("(?<![A-Z])(TEST[0-9]*|TESTBILD|TESTPATIENT|QC|QA|DEMO|DUMMY)(?![A-Z])")
"""People may be called so in an anonymised archive, so they are only told of."""

_CHEST_CODES = ("T-D3000", "51185008", "816094009", "T-28000", "39607008")
"""Thorax and lung in SNOMED, in both of its notations (PS3.16, CID 4031)."""

_FRONTAL = ("PA", "AP", "FRONTAL", "FACE", "FRENTE")
_FRONTAL_WORDS = re.compile("(POSTERO ?ANTERIOR|ANTERO ?POSTERIOR)")
_POSITIONS = ("SUPINE", "ERECT", "UPRIGHT", "STANDING", "SITTING", "SEMIERECT", "BED", "BEDSIDE", "PORTABLE")
_SIDEWAYS = ("LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO")
"""Lateral, decubitus and oblique views (PS3.3 C.8.1.1 and C.8.7.1)."""
_SIDEWAYS_WORDS = re.compile(
    "[LR]?LAT(ER[A-Z]{2,})?|DECUB[A-Z]*|OBL(I[CKQ][A-Z]*|Q)?|SEIT(L|LICH[A-Z]*|ENAUFN[A-Z]*)|PROFIL[EO]?|PERFIL|"
    "SAGITTA[A-Z]*|SCHRAE?G[A-Z]*|ZIJDEL[A-Z]*|BOCZN[A-Z]*"
)
"""Words for such views, also in German, French, Spanish, Italian, Dutch and Polish, and not people called Latimer."""

_SIDEWAYS_CODES = frozenset({
    "R-102CD", "R-10236", "R-10232", "R-10224", "R-10228", "R-40783", "R-40782", "R-10226", "R-10230", "R-102C1",
    "R-10204", "R-10208", "R-10210", "R-10212", "R-10216", "R-10220", "R-10234", "R-10238", "R-40985", "G-A145",
    "399067008", "399173006", "399198007", "399260004", "399352003", "260427002", "260426006", "399368009",
    "399099002", "399182000", "399160007", "399312000", "399038007", "399006002", "399059000", "399135007",
    "399236003", "399184004", "399356000", "30730003",
})  # fmt: skip
"""Lateral and oblique views of PS3.16, CID 4010, in both notations of SNOMED."""


def is_chest(text: str) -> bool:
    """Return whether a text names the chest or the lungs."""
    plain = _plain(text)
    return bool(_CHEST.search(_CHEST_OF_SPINE.sub("", plain) if _SPINES.search(plain) else plain))


def other_part(*texts: str) -> str:
    """Return the first word for another body part; empty if there is none, or if the chest is named too."""
    if any(map(is_chest, texts)):
        return ""
    return next((found[0] for text in texts if (found := _OTHER.search(_plain(text)))), "")


def part_beside_chest(text: str) -> str:
    """Return the word for another body part that a text names beside the chest, as in CHEST_ABDOMEN; else empty."""
    found = _OTHER.search(_plain(text)) if is_chest(text) else None
    return found[0] if found else ""


def tells_no_part(text: str) -> bool:
    """Return whether a body part is not told, such as UNKNOWN, or holds the chest and more, such as TRUNK."""
    plain = _plain(text).strip()
    return bool(_NO_ANSWER.fullmatch(plain) or _WIDER_PART.fullmatch(plain))


def is_radiography(modality: str) -> bool:
    """Return whether a modality is that of radiographs, in the code of the standard or in a word for it."""
    return modality.upper() in RADIOGRAPHY or bool(_RADIOGRAPHY_WORDS.fullmatch(_plain(modality)))


def not_human(species: str) -> bool:
    """Return whether a species or breed is told and is not that of people."""
    return not _HUMAN.search(_plain(species)) and not _NO_ANSWER.fullmatch(_plain(species).strip())


def phantom_word(*texts: str) -> str:
    """Return the first word by which a name or a description tells of a phantom; empty if there is none."""
    return next((found[0] for text in texts if (found := _PHANTOM.search(_plain(text)))), "")


def no_plain_radiograph(*texts: str) -> str:
    """Return the words of a description for what is no plain radiograph of a chest; empty if there are none."""
    return next((found[0] for text in texts if (found := _NO_PICTURE.search(_plain(text)))), "")


def test_word(*texts: str) -> str:
    """Return the first word of a patient's name by which this may be a test; empty if there is none."""
    return next((found[0] for text in texts if (found := _TEST.search(_plain(text)))), "")


def coded_region(code: str, meaning: str) -> str:
    """Return the body part of a code: `CHEST` if it is that, else its meaning."""
    return "CHEST" if code in _CHEST_CODES else meaning


def coded_view(code: str, meaning: str) -> str:
    """Return the view of a code: its meaning, and `LATERAL OR OBLIQUE` if that does not say what the code does."""
    return "LATERAL OR OBLIQUE" if code in _SIDEWAYS_CODES and not is_sideways(meaning) else meaning


def is_sideways(text: str) -> bool:
    """Return whether a text names a lateral, decubitus or oblique view, perhaps beside a frontal one."""
    return any(word in _SIDEWAYS or _SIDEWAYS_WORDS.fullmatch(word) for word in _words(text))


def is_frontal(text: str) -> bool:
    """Return whether a text names a frontal view, perhaps beside another one."""
    return not set(_FRONTAL).isdisjoint(_words(text)) or bool(_FRONTAL_WORDS.search(_plain(text)))


def is_known_view(text: str) -> bool:
    """Return whether a text says nothing of the view, or something that is understood."""
    told = is_frontal(text) or is_sideways(text) or not set(_POSITIONS).isdisjoint(_words(text))
    return told or not _plain(text).strip()


def _words(text: str) -> list[str]:
    return re.findall("[A-Z]+", _plain(text))


def _plain(text: str) -> str:
    """Return a text in capitals without accents, words separated by single spaces and not by hyphens or the like."""
    letters = unicodedata.normalize("NFKD", text.replace("ß", "ss")).upper()
    return re.sub(r"[\s_/^.,;:+()\[\]-]+", " ", "".join(char for char in letters if not unicodedata.combining(char)))
