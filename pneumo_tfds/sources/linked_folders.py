"""Ask about symbolic links to folders that are read by another way, where their names say something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pneumo_tfds.program.wording import counted
from pneumo_tfds.sources.classes import ClassWords, class_told
from pneumo_tfds.sources.listing import READ_ALREADY, File
from pneumo_tfds.sources.survey import SHOWN, SurveyNotes
from pneumo_tfds.sources.words import split_of


def ask_about_links(files: Sequence[File], classes: ClassWords, notes: SurveyNotes) -> None:
    """Ask about links whose path names another class or split than that on which their folder is read.

    A link to a folder that it lies in itself is a circle, which holds no images of its own.
    """
    unmarked = replace(classes, met=set())  # what a link is called does not show that a flag was spelled well
    links = [file for file in files if file.size == READ_ALREADY and not _is_circle(file)]
    tells: dict[str, Callable[[str], str]] = {"class": lambda name: class_told(name, unmarked), "split": split_of}
    for role, told in tells.items():
        if other := [file for file in links if not _told(file.name, told) <= _told(file.leads_to, told)]:
            first = min(other, key=lambda file: file.name)
            notes.ask(
                f"{counted(len(other), 'link')} to folders that are read already would give their images another "
                f"{role}, the first {first.name}, which leads to {first.leads_to}; --yes reads these images once, as "
                f"those of {first.leads_to}; remove the link, or put the images in its place that belong there"
            )


def links_named_for_classes(files: Sequence[File], classes: ClassWords) -> str:
    """Return where links lead that are named like classes, for a message; empty if there is none."""
    links = [file for file in files if file.size == READ_ALREADY and not _is_circle(file)]
    named = sorted(
        f"{file.name} to {file.leads_to}" for file in links if classes.label_of(file.name.rpartition("/")[2])
    )
    return f"; links are not read beside the folders that they lead to: {', '.join(named[:SHOWN])}" if named else ""


def _told(path: str, told: Callable[[str], str]) -> set[str]:
    return {*map(told, path.split("/"))} - {""}


def _is_circle(file: File) -> bool:
    return not file.leads_to or f"{file.name}/".startswith(f"{file.leads_to}/")
