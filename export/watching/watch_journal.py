"""What was done about each image, in an SQLite file that survives crashes: the memory of `export.watch`."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from export.dicom_out.dicom_answers import AnswerFile
from export.watching.watched_places import PassingError
from pneumo_tfds.program.errors import InputError, reason_and_remedy, reason_of
from pneumo_tfds.program.files import synchronize
from pneumo_tfds.program.locks import lock

SEEN, ANSWERED, SENT, LEFT, DEAD = "seen", "answered", "sent", "left", "dead"
"""States of an image: found; its answer is in the journal; its answer is stored; not one to answer; a dead letter."""

VERSION = 1
"""Version of the tables. A journal of another version is refused."""

_TABLES = """
CREATE TABLE about (model TEXT NOT NULL, source TEXT NOT NULL);
CREATE TABLE image (
    key TEXT PRIMARY KEY, state TEXT NOT NULL, instance TEXT, reason TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0, begun INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0
);
CREATE INDEX by_state ON image (state, due);
CREATE INDEX by_instance ON image (instance);
CREATE TABLE file (key TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, content BLOB NOT NULL);
CREATE TABLE told (uid TEXT PRIMARY KEY, digest TEXT NOT NULL);
"""
_SEALS = "CREATE TABLE IF NOT EXISTS seal (key TEXT PRIMARY KEY, digest BLOB NOT NULL)"
"""SHA-256 of the files of an answer. Older journals lack it, and answers in them are not checked."""

_ENTRY = "key, state, tries, begun, reason"
Run = Callable[..., sqlite3.Cursor]


def _digest(files: Sequence[AnswerFile]) -> bytes:
    return hashlib.sha256(repr([tuple(file) for file in files]).encode()).digest()


class Entry(NamedTuple):
    """One image in the journal."""

    key: str
    state: str
    tries: int
    """How often it has failed since it came into this state."""
    begun: int
    """How often work on it has begun without coming to any end, because the process died."""
    reason: str


class WatchJournal:
    """The journal of one model on one source.

    Every method is one transaction, and what it wrote is on the disk when it returns.

    Args:
        path: the SQLite file; created if it is not there. On a local disk: SQLite's log needs shared memory.
        model: digest of the model.
        source: folder or address.

    Raises:
        InputError: the journal belongs to another model or source, is damaged, or cannot be written. So do all methods.
    """

    def __init__(self, path: Path, model: str, source: str) -> None:
        self._path = path
        with self._explained():
            path.touch(0o600)  # answers that are not sent yet name their patients
            if not path.stat().st_size:  # it was there, empty
                path.chmod(0o600)
            synchronize(path.parent)
            self._database = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA secure_delete = ON")
        with self._transaction() as run:
            (version,) = run("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _TABLES.split(";"):
                    run(statement)
                run(f"PRAGMA user_version = {VERSION}")
                run("INSERT INTO about VALUES (?, ?)", (model, source))
            elif version != VERSION:
                raise InputError(f"{path} is of another version of this program; give another --journal")
            run(_SEALS)
            (found,) = run("PRAGMA integrity_check(1)").fetchone()  # of the tables against their indexes
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            known = run("SELECT model, source FROM about").fetchone() or ("none", "none")
        for what, mine, its in zip(("model", "source"), (model, source), known, strict=True):
            if mine != its:
                raise InputError(f"{path} is the journal of another {what} ({its}); give another --journal")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the journal for one watcher, and close it afterwards; raises InputError if there is another."""
        lock_path = self._path.with_name(f"{self._path.name}.lock")
        with lock_path.open("a", encoding="utf-8") as file, closing(self._database):
            try:
                lock(file.fileno(), self._path.parent)
            except BlockingIOError as error:
                message = f"{self._path} is used by another watcher; end that, or give another --journal"
                raise InputError(message) from error
            yield

    def add(self, keys: Iterable[str]) -> None:
        """Note images as seen, apart from those that are known already."""
        with self._transaction():
            self._database.executemany(
                "INSERT OR IGNORE INTO image (key, state) VALUES (?, ?)", ((key, SEEN) for key in keys)
            )

    def due(self, state: str) -> Entry | None:
        """Return the image in a state whose turn it is, None if there is none now."""
        with self._transaction() as run:
            row = run(
                f"SELECT {_ENTRY} FROM image WHERE state = ? AND due <= ? ORDER BY due, tries, rowid LIMIT 1",
                (state, time.time()),
            ).fetchone()
        return Entry(*row) if row else None

    def count(self, state: str) -> int:
        """Return the number of images in a state."""
        with self._transaction() as run:
            return int(run("SELECT count(*) FROM image WHERE state = ?", (state,)).fetchone()[0])

    def entries(self, state: str) -> list[Entry]:
        """Return all images in a state."""
        with self._transaction() as run:
            rows = run(f"SELECT {_ENTRY} FROM image WHERE state = ? ORDER BY rowid", (state,))
            return [Entry(*row) for row in rows]

    def is_answered(self, instance: str) -> bool:
        """Return whether an image with this SOPInstanceUID was answered, be it under another key."""
        with self._transaction() as run:
            states = (instance, ANSWERED, SENT)
            return bool(run("SELECT 1 FROM image WHERE instance = ? AND state IN (?, ?)", states).fetchone())

    def answered(self, key: str, instance: str, reason: str, files: Sequence[AnswerFile]) -> None:
        """Keep the files of an answer until they are sent, so that the same bytes go out at every try."""
        with self._transaction() as run:
            self._move(key, ANSWERED, reason)
            run("UPDATE image SET instance = ? WHERE key = ?", (instance, key))
            self._database.executemany("INSERT INTO file VALUES (?, ?, ?, ?)", ((key, *file) for file in files))
            run("INSERT OR REPLACE INTO seal VALUES (?, ?)", (key, _digest(files)))

    def files(self, key: str) -> list[AnswerFile]:
        """Return the files of an answer that is not sent yet.

        Raises:
            PassingError: they are not what was kept. They are forgotten, and the image is one to answer again.
        """
        with self._transaction() as run:
            rows = run("SELECT kind, name, content FROM file WHERE key = ? ORDER BY rowid", (key,))
            files = [AnswerFile(*row) for row in rows]
            (seal,) = run("SELECT digest FROM seal WHERE key = ?", (key,)).fetchone() or (None,)
            if seal in (None, _digest(files)):
                return files
            self._move(key, SEEN, "")
            run("DELETE FROM file WHERE key = ?", (key,))
        raise PassingError(f"its answer in {self._path} has changed since it was made; it is made again")

    def end(self, key: str, state: str, reason: str) -> None:
        """Note that an image is done with: SENT, LEFT or DEAD."""
        with self._transaction() as run:
            self._move(key, state, reason)
            if state == SENT:
                for table in ("file", "seal"):
                    run(f"DELETE FROM {table} WHERE key = ?", (key,))

    def begin(self, key: str) -> None:
        """Note that work on an image begins, which may end the process."""
        with self._transaction() as run:
            run("UPDATE image SET begun = begun + 1 WHERE key = ?", (key,))

    def later(self, key: str, seconds: float) -> None:
        """Note that an image failed and is to be tried again after some seconds."""
        with self._transaction() as run:
            run("UPDATE image SET tries = tries + 1, begun = 0, due = ? WHERE key = ?", (time.time() + seconds, key))

    def hurry(self) -> None:
        """Make every image due that waits for another try; what failed less often comes first.

        So what fails at each start does not keep the others from their turn.
        """
        with self._transaction() as run:
            run("UPDATE image SET due = 0 WHERE due > 0")

    def retry(self) -> int:
        """Take up the dead letters again and return how many; what was told of studies is forgotten for that."""
        with self._transaction() as run:
            run("DELETE FROM told")
            has_files = "EXISTS (SELECT 1 FROM file WHERE file.key = image.key)"
            return run(
                f"UPDATE image SET reason = '', state = CASE WHEN {has_files} THEN ? ELSE ? END WHERE state = ?",
                (ANSWERED, SEEN, DEAD),
            ).rowcount

    def forget(self, keys: Iterable[str]) -> None:
        """Delete dead letters, with answers that could not be stored and what was told of their images."""
        rows = [(key,) for key in keys]
        with self._transaction():
            told = "DELETE FROM told WHERE uid IN (SELECT instance FROM image WHERE key = ?)"
            for statement in (told, *(f"DELETE FROM {table} WHERE key = ?" for table in ("file", "seal", "image"))):
                self._database.executemany(statement, rows)

    def remember(self, uid: str, digest: str) -> str:
        """Return the digest that was first told of a UID (`dicom_identity.Remember`)."""
        with self._transaction() as run:
            run("INSERT OR IGNORE INTO told VALUES (?, ?)", (uid, digest))
            return str(run("SELECT digest FROM told WHERE uid = ?", (uid,)).fetchone()[0])

    def _move(self, key: str, state: str, reason: str) -> None:
        statement = "UPDATE image SET state = ?, reason = ?, tries = 0, begun = 0, due = 0 WHERE key = ?"
        self._database.execute(statement, (state, reason, key))

    @contextmanager
    def _transaction(self) -> Iterator[Run]:
        with self._explained():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database.execute
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {reason_and_remedy(error)}") from error
        except sqlite3.OperationalError as error:
            remedy = "make room or check the disk, and start again: nothing is lost"
            raise InputError(f"cannot use the journal {self._path}: {reason_of(error)}; {remedy}") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # SQLite's message may quote what is no text
            why = "its tables have no names" if isinstance(error, UnicodeDecodeError) else reason_of(error)
            remedy = "give another --journal: answers that are sent again replace themselves"
            raise InputError(f"{self._path} is damaged or not a journal ({why}); {remedy}") from error
