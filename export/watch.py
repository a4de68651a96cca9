"""`python -m export.watch MODEL.onnx --source PLACE`: answer new DICOM images as DICOM, each exactly once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from annotated_types import Ge, Gt, Le

from export.inference.model_options import ModelOptions
from pneumo_tfds.program.bounds import Bounded, Count
from pneumo_tfds.program.command import BAD_INPUT, Command, run
from pneumo_tfds.program.errors import InputError
from pneumo_tfds.program.wording import counted

if TYPE_CHECKING:
    from export.watching.dicomweb_archive import Archive
    from export.watching.watch_journal import WatchJournal
    from export.watching.watched_places import FolderSource, FolderTarget


@dataclass(frozen=True, kw_only=True)
class Watch(ModelOptions, Bounded, Command):
    """Follow a folder or a DICOMweb archive and answer its new chest X-rays with DICOM objects. For research only."""

    model: Annotated[Path, tyro.conf.Positional]
    """The .onnx file of a run."""
    source: str
    """Folder of DICOM files (under any names), or address of a DICOMweb archive, such as http://host:8042/dicom-web."""
    out: str | None = None
    """Folder or DICOMweb archive for the answers. Default: the archive that is the source."""
    token_file: Path | None = None
    """File with a bearer token for the archive, read again at each request. Default: a password in ~/.netrc, if any."""
    journal: Path = Path("watch.sqlite")
    """What was done about each image. Of one model and one source; on a local disk."""
    every: Annotated[float, Gt(0), Le(86_400)] = 5.0
    """Seconds between two looks at the source. A file of a folder is read when two looks found it unchanged."""
    days: Annotated[int, Ge(1), Le(36_500)] = 3
    """In an archive, look at studies of so many days by their date, today included."""
    once: bool = False
    """Handle what is there and end: exit code 2 if something has to be tried again."""
    dead_letters: bool = False
    """List the images that could not be answered, with the reasons, and end."""
    retry: bool = False
    """Take the dead letters up again, by the watcher that runs or the next one, and end."""
    threads: Count | None = None
    """Threads for the model. Default: one per core."""


def watch(command: Watch) -> int:
    """Follow the source until SIGTERM, or handle what is there; return the exit code."""
    from export.dicom_out.dicom_answers import DicomAnswers
    from export.watching.watch_journal import ANSWERED, DEAD, SEEN, WatchJournal
    from export.watching.watch_loop import Watcher
    from export.watching.watched_places import PassingError

    if (asked := command.dead_letters or command.retry) and not command.journal.is_file():
        raise InputError(f"{command.journal} is not there, so it lists no dead letters; give the watcher's --journal")
    classifier = command.opened(command.model, threads=command.threads)
    model = DicomAnswers(classifier).model.sha256
    source, target = _places(command)
    journal = WatchJournal(command.journal, model, source.whole)
    if asked:
        return _dead_letters(journal, source, command.retry)
    with journal.locked(), _ended_by_sigterm() as stop:
        journal.hurry()
        watcher = Watcher(classifier, journal, source=source, target=target, stop=stop, once=command.once)
        print(f"watching {command.source} with {command.model}, journal {command.journal}", file=sys.stderr, flush=True)
        problem = ""
        if command.once:
            try:
                watcher.look()
                problem = source.unlisted and f"{source.unlisted}; "
            except PassingError as error:
                problem = f"{error}; "
            watcher.work()
        else:
            watcher.follow(command.every)
        waiting, dead = journal.count(SEEN) + journal.count(ANSWERED), journal.count(DEAD)
        ended = ", ".join(f"{count} {state}" for state, count in sorted(watcher.ended.items())) or "nothing new"
        print(f"{problem}{ended}; {waiting} to be tried again, {counted(dead, 'dead letter')}", file=sys.stderr)
    return BAD_INPUT if command.once and (problem or waiting) else 0


@contextmanager
def _ended_by_sigterm() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM sets, in place of ending the process."""
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def _places(command: Watch) -> tuple[FolderSource | Archive, FolderTarget | Archive]:
    """Return source and target; a folder that is the source has its full path in the journal.

    Raises:
        InputError: there is no such folder, no such address, or no target.
    """
    from export.watching.watched_places import FolderSource, FolderTarget

    addresses = {
        place for place in (command.source, command.out) if place and place.startswith(("http://", "https://"))
    }
    archives = {}
    if command.token_file and len(addresses) != 1:
        named = len(addresses) or "no"
        raise InputError(f"--token-file is for one archive, and --source and --out name {named}; give it with one")
    if addresses:
        from export.watching.dicomweb_archive import Archive

        archives = {place: Archive(place, command.days, command.token_file) for place in addresses}
    if command.source not in archives and not Path(command.source).is_dir():
        raise InputError(f"{command.source} is not a folder; give one, or the address of a DICOMweb archive")
    if command.out is None and command.source not in archives:
        raise InputError(f"{command.source} is a folder; say with --out where the answers go to")
    out = command.out or command.source
    source = archives.get(command.source) or (
        FolderSource(Path(command.source).resolve(), command.every, command.journal)
    )
    return source, archives.get(out) or FolderTarget(Path(out))


def _dead_letters(journal: WatchJournal, source: FolderSource | Archive, retry: bool) -> int:
    from export.watching.watch_journal import DEAD

    if retry:
        print(f"{counted(journal.retry(), 'dead letter')} taken up again")
        return 0
    for entry in (dead := journal.entries(DEAD)):
        print(f"{source.name(entry.key)}: {entry.reason}")
    if not dead:
        print("no dead letters")
    return 0


if __name__ == "__main__":
    run(Watch, watch, prog="python -m export.watch")
