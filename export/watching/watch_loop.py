"""The loop of `export.watch`: from the images that a place has to answers in another, each exactly once."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

from export.dicom_out.dicom_answers import DicomAnswers
from export.dicom_out.dicom_identity import check_against_others, read_identity
from export.dicom_out.secondary_capture import SIDE
from export.inference.classifier import Classifier
from export.watching.watch_journal import ANSWERED, DEAD, LEFT, SEEN, SENT, Entry, WatchJournal
from export.watching.watched_places import FolderSource, FolderTarget, LastingError, PassingError
from pneumo_tfds.decode import DecodeError, decode_whole
from pneumo_tfds.decode.dicom_file import value_of
from pneumo_tfds.decode.header_words import is_radiography
from pneumo_tfds.decode.headers import format_of
from pneumo_tfds.program.errors import plain

if TYPE_CHECKING:
    from export.watching.dicomweb_archive import Archive

LONGEST_PAUSE = 600.0
"""Seconds between two tries of what keeps failing."""
MOST_FAILURES = 3
"""Images in a row that fail before the others are left for the next look, as the place is then likely to be down."""
MOST_DEATHS = 3
"""Times that the process may die while it works on an image before the image is held to be the cause."""
REPORT = "report that to the makers of pneumo, but send no X-ray of a patient"
MOST_WAITING = 20
"""Answers kept in the journal until they can be sent; no image is answered while there are more."""


class Watcher:
    """Answers what is new in a source, and remembers it in the journal.

    Args:
        classifier: the model.
        journal: of this model and source.
        source: where images come from.
        target: where answers go to.
        stop: ends the loop after the image in work, once it is set.
        once: the program ends when `work` returns, so what fails is tried again when it is started again.
    """

    def __init__(
        self,
        classifier: Classifier,
        journal: WatchJournal,
        *,
        source: FolderSource | Archive,
        target: FolderTarget | Archive,
        stop: threading.Event,
        once: bool = False,
    ) -> None:
        self._classifier, self._journal, self._source, self._target = classifier, journal, source, target
        self._answers = DicomAnswers(classifier)
        self._stop, self._once = stop, once
        self.ended = Counter[str]()
        """Images by the state that they came to."""

    def follow(self, every: float) -> None:
        """Look into the source every so many seconds until `stop` is set."""
        failures, told = 0, ""
        while not self._stop.is_set():
            try:
                self.look()
                failures, pause = 0, every
                if self._source.unlisted not in ("", told):
                    _say(f"{self._source.unlisted}; the other folders are watched")
                told = self._source.unlisted
            except PassingError as error:
                failures += 1
                pause = max(every, backing_off(failures))
                _say(f"{error}; trying again in {pause:.0f} s")
            self.work()
            self._stop.wait(pause)

    def look(self) -> None:
        """Note what is in the source, and forget dead letters of files that were replaced; raises PassingError."""
        found = self._source.found()
        self._journal.add(found)
        if dead := {entry.key for entry in self._journal.entries(DEAD)}.difference(found):
            names = {self._source.name(key) for key in found}
            self._journal.forget(key for key in dead if self._source.name(key) in names)

    def work(self) -> None:
        """Send what is answered and answer what is seen, as far as their turn has come and the places work."""
        failures = 0
        while not self._stop.is_set() and failures < MOST_FAILURES:
            entry = self._next()
            if entry is None:
                return
            failures = 0 if self._try(entry) else failures + 1

    def _next(self) -> Entry | None:
        """Return whose turn it is: an answer before an image; with `--once` first what failed less often; or None."""
        room = self._journal.count(ANSWERED) <= MOST_WAITING
        due = [self._journal.due(state) for state in (ANSWERED, *([SEEN] if room else []))]
        return min(filter(None, due), key=lambda entry: entry.tries if self._once else 0, default=None)

    def _try(self, entry: Entry) -> bool:
        """Do what is to be done about an image; return whether it is done with, and not to be tried again."""
        name = self._source.name(entry.key)
        try:
            if entry.state == SEEN:
                if entry.begun >= MOST_DEATHS:
                    raise LastingError(f"the program crashed {entry.begun} times while it worked on it; {REPORT}")
                self._journal.begin(entry.key)
                entry = self._answer(entry)
            if entry.state == ANSWERED:
                self._target.put(self._journal.files(entry.key))
                entry = entry._replace(state=SENT)
        except PassingError as error:
            pause = backing_off(entry.tries + 1)
            when = "at the next start" if self._once else f"in {pause:.0f} s"
            _say(f"{name}: {error}; trying again {when}")
            self._journal.later(entry.key, pause)
            return False
        except (DecodeError, LastingError) as error:
            entry = entry._replace(state=DEAD, reason=str(error).removeprefix(f"{name}: "))
        self._journal.end(entry.key, entry.state, plain(entry.reason))
        self.ended[entry.state] += 1
        _say(f"{name}: {entry.state}: {entry.reason}")
        return True

    def _answer(self, entry: Entry) -> Entry:
        """Read and answer an image; return what became of it.

        Raises:
            PassingError: it cannot be read now.
            DecodeError: it cannot be answered.
        """
        name = self._source.name(entry.key)
        data = self._source.read(entry.key)
        if format_of(data) != "DICOM":
            return entry._replace(state=LEFT, reason="not a DICOM file")
        header = read_identity(data, name)
        modality = str(value_of(header, "Modality", ""))
        if modality and not is_radiography(modality):  # a report and a capture of ours are SR and OT
            return entry._replace(state=LEFT, reason=f"modality {modality}")
        if self._journal.is_answered(header.SOPInstanceUID):
            check_against_others(header, data, name, self._journal.remember)
            return entry._replace(state=LEFT, reason="a copy of an image that was answered")
        answer = self._classifier.predict_bytes(data, name)
        files = self._answers.files(header, answer, decode_whole(data, SIDE, name))
        # Only now, as half a file must not claim the SOPInstanceUID of the whole one.
        check_against_others(header, data, name, self._journal.remember)
        self._journal.answered(entry.key, header.SOPInstanceUID, answer.decision, files)
        return entry._replace(state=ANSWERED, reason=answer.decision)


def backing_off(tries: int) -> float:
    """Return how many seconds to wait after so many failures: doubled each time, with jitter."""
    return min(LONGEST_PAUSE, 2.0 ** min(tries, 30)) * random.uniform(0.5, 1.0)


def _say(line: str) -> None:
    print(plain(line), file=sys.stderr, flush=True)
