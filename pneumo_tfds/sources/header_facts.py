"""What the headers of DICOM files say of patient and fitness, read once and kept between starts.

Reading 30,000 headers takes a minute on a network disk. They are kept in the user's cache folder, by name, size and
time of change of each file. Identifiers of patients are kept as hashes only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Any

from pneumo_tfds.decode.dicom_file import import_pydicom
from pneumo_tfds.decode.dicom_header import HeaderFacts, read_facts
from pneumo_tfds.decode.fitness import ADULT, kinds_of_remarks, unfit
from pneumo_tfds.decode.header_words import part_beside_chest
from pneumo_tfds.decode.headers import HEAD_BYTES, DecodeError, format_of
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.files import JSON_SHAPE_ERRORS, cache_folder, read_json, write_text
from pneumo_tfds.program.installed import how_to_install
from pneumo_tfds.program.parallel import ordered_map
from pneumo_tfds.program.progress import track
from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.identifiers import hashed, hashed_person, normal_identifier
from pneumo_tfds.sources.listing import DICOM_SUFFIXES, IMAGE_SUFFIXES, File, NamedReader
from pneumo_tfds.sources.reading import ReadError
from pneumo_tfds.sources.survey import Remark, SurveyNotes, listed

FIRST_BYTES = (16 << 10, 256 << 10)
"""Of a file, in which a header usually ends, also with lookup tables; longer ones are read whole."""

SAMPLE = 8
"""Files of each folder whose first bytes are read though their names end in `.jpg` or `.png`: they may be DICOM."""

MUCH = 0.1
"""Share of a class whose loss is warned of."""

CACHE_FROM = 100
"""Files from which on the facts are kept; fewer are read in no time."""

_FIELDS = [field.name for field in fields(HeaderFacts)]


def read_headers(files: Sequence[File], reader: NamedReader, where: Path, notes: SurveyNotes) -> dict[str, HeaderFacts]:
    """Return the header facts of the DICOM files among `files`, by name; files that cannot be read have none.

    Without pydicom no header can be read, which is asked about.

    Raises:
        ReadError: the disk or the network failed.
    """
    possible = _may_be_dicom(files, reader)
    kept = _read_kept(where) if len(possible) >= CACHE_FROM else {}
    dicom = [file for file in possible if file in kept or _starts_as_dicom(file, reader)]
    known = {file.name: kept[file] for file in dicom if file in kept}
    new = [file for file in dicom if file.name not in known]
    try:
        if new:
            import_pydicom(new[0].name)
    except DecodeError:
        text = (
            f"headers of {counted(len(new), 'DICOM file')}, such as {new[0].name}, cannot be read, because pydicom is "
            f"not installed; {how_to_install('dicom')}; --yes goes on without, and leaves these files out as unreadable"
        )
        notes.remarks.insert(0, Remark(text, question=True))  # before doubts that the headers may settle
        return known

    def read(file: File) -> HeaderFacts | None:
        with suppress(DecodeError):  # the build names it among the unreadable images
            return _read(file, reader)
        return None

    found = ordered_map(read, new)
    shown = track(found, "Reading DICOM headers", len(new)) if len(new) >= CACHE_FROM else found
    known.update((file.name, facts) for file, facts in zip(new, shown, strict=True) if facts is not None)
    if len(new) >= CACHE_FROM:
        _keep(where, {file: known[file.name] for file in dicom if file.name in known})
    return known


def _may_be_dicom(files: Sequence[File], reader: NamedReader) -> list[File]:
    """Return the files that may be DICOM: those whose names do not say JPEG or PNG, and folders where they are wrong.

    Of names that do, a sample of each folder is looked at, and if one of it is DICOM all of the folder are.
    """
    possible = [file for file in files if _suffix(file) in DICOM_SUFFIXES or _suffix(file) not in IMAGE_SUFFIXES]
    others = set(files) - set(possible)
    folders: dict[str, list[File]] = defaultdict(list)
    for file in files:
        if file in others:
            folders[file.name.rpartition("/")[0]].append(file)
    sample = [file for found in folders.values() for file in found[:: -(-len(found) // SAMPLE)]]
    looked_at = ordered_map(lambda file: _starts_as_dicom(file, reader), sample)
    wrong = {file.name.rpartition("/")[0] for file, dicom in zip(sample, looked_at, strict=True) if dicom}
    return possible + [file for folder in sorted(wrong) for file in folders[folder]]


def _starts_as_dicom(file: File, reader: NamedReader) -> bool:
    if _suffix(file) in DICOM_SUFFIXES:
        return True
    try:
        return file.size > 0 and format_of(reader.read_name(file.name, HEAD_BYTES)) == "DICOM"
    except ReadError:
        raise
    except InputError:  # damaged or oddly packed inside an archive; the build names it
        return False


def _suffix(file: File) -> str:
    return os.path.splitext(file.name)[1].lower()


def _read(file: File, reader: NamedReader) -> HeaderFacts:
    """Read a header, with hashes in place of what tells the patient; that of the name is of the day of birth too."""
    facts = HeaderFacts(complete=False)
    for size in FIRST_BYTES:
        with suppress(DecodeError):  # the bytes may end where pydicom does not expect it
            facts = read_facts(reader.read_name(file.name, size), file.name)
        if facts.complete:
            break
    else:
        facts = read_facts(reader.read_name(file.name), file.name)
    patient, *others = [hashed(normal_identifier(told)) for told in (facts.patient, *facts.others)]
    born = facts.born if facts.born.isdecimal() else ""
    person = hashed_person(facts.name, born)
    return replace(facts, patient=patient, others=tuple(filter(None, others)), name=person, born="told" if born else "")


def leave_out_unfit(facts: Mapping[str, HeaderFacts], labels: Mapping[str, str], notes: SurveyNotes) -> set[str]:
    """Note the files whose header says that they are no frontal chest X-rays, and copies; return their names.

    `labels` gives the class of each file of the source. It is warned of where a class loses much by its body part.
    """
    reasons = {name: unfit(one) for name, one in facts.items()}
    originals = [one for name, one in facts.items() if not reasons[name] and _is_original(one)]
    instances, views = {one.instance for one in originals}, {(one.study, one.view) for one in originals}
    out = set()
    doubts: dict[str, Counter[str]] = defaultdict(Counter)
    parts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, one in facts.items():
        reason = reasons[name]
        if not reason and one.image_type[:1] == ("DERIVED",):
            of_another = not instances.isdisjoint(one.sources) if one.sources else (one.study, one.view) in views
            reason = "a copy derived from another image of its study, which is here" if of_another else ""
        if reason:
            notes.leave_out(f"by its DICOM header: {reason}", name)
            out.add(name)
            if reason.startswith("body part"):
                parts[labels[name]][one.body_part] += 1
        else:
            for text, value in kinds_of_remarks(one):
                doubts[text][value] += 1
            if part_beside_chest(one.body_part):
                doubts["body part {} is the chest and another one; used"][one.body_part] += 1
    sizes = Counter(labels.values())
    for label, counts in sorted(parts.items()):
        if counts.total() > MUCH * sizes[label]:
            notes.warn(
                f"{counts.total():,} of {counted(sizes[label], f'{label} image')} are left out for the body part in "
                f"their header: {listed(counts, 5)}; if they show chests, correct BodyPartExamined there, or convert "
                "them to PNG"
            )
    for text, values in doubts.items():
        shown = listed(values, 5, "file") if any(values) else ""
        notes.warn(f"DICOM headers of {counted(values.total(), 'file')} say: {text.format(shown)}")
    _warn_of_several([one for name, one in facts.items() if name not in out], notes)
    _tell_ages([one for name, one in facts.items() if name not in out], notes)
    return out


def _warn_of_several(facts: Sequence[HeaderFacts], notes: SurveyNotes) -> None:
    """Warn of images of one study and view with different descriptions: pictures of bones alone are made so."""
    described: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in facts:
        if one.study and one.series:
            described[one.study, one.view].append(one.series)
    several = [series for series in described.values() if len(set(series)) > 1]
    if several:
        counts = Counter(name for series in several for name in series)
        notes.warn(
            f"{counted(len(several), 'study', 'studies')} with several images of one view that are described "
            f"differently: {listed(counts, 5)}; some may be made of others, such as those of bones alone; all are used"
        )


def _is_original(facts: HeaderFacts) -> bool:
    """Return whether an image is what its copies were derived from, and meant to be looked at."""
    raw = facts.presentation_intent.upper() == "FOR PROCESSING"
    return facts.image_type[:1] == ("ORIGINAL",) and bool(facts.study) and not raw


def _tell_ages(facts: Sequence[HeaderFacts], notes: SurveyNotes) -> None:
    """Tell how old the patients are, at their last image; an image of an unknown patient counts as one."""
    told = [(one.patient or str(number), one.age) for number, one in enumerate(facts) if one.age is not None]
    ages = dict(sorted(told, key=lambda pair: pair[1]))
    if ages:
        adults = sum(age >= ADULT for age in ages.values())
        notes.tell(
            f"{adults:,} of {counted(len(ages), 'patient')} with an age in the DICOM header are {ADULT} years or older "
            f"(images from {min(age for _, age in told):.0f} to {max(ages.values()):.0f} years)"
        )


def _place(where: Path) -> Path:
    return cache_folder() / f"dicom-headers-4-{hashlib.sha256(os.fsencode(where.resolve())).hexdigest()[:16]}.json"


def _read_kept(where: Path) -> dict[File, HeaderFacts]:
    """Return the facts that were kept, by name, size and time of change; none if damaged or of another version."""
    with suppress(InputError, *JSON_SHAPE_ERRORS):
        found = read_json(_place(where), "remove it")
        if found["fields"] == _FIELDS and found["sha256"] == _digest(found["files"]):
            rows = ((File(*file), dict(zip(_FIELDS, values, strict=True))) for file, values in found["files"])
            return {file: HeaderFacts(**{key: _frozen(value) for key, value in one.items()}) for file, one in rows}
    return {}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _digest(rows: Any) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _keep(where: Path, facts: Mapping[File, HeaderFacts]) -> None:
    rows = [[list(astuple(file)), list(astuple(one))] for file, one in facts.items()]
    with suppress(InputError):  # a home folder that cannot be written; the headers are read again at the next start
        write_text(_place(where), json.dumps({"fields": _FIELDS, "sha256": _digest(rows), "files": rows}))
