"""Labelled scans on disk: which label map belongs to which image, whatever naming people use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..images import Image, LabelMap, as_image, read_labels

SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
LABEL_WORDS = ("labels", "label", "labelmap", "seg", "segmentation", "mask")
_CHANNEL = re.compile(r"(.+)_(\d{4})$")  # NAME_0000, NAME_0001 …: contrasts of one person
_LABEL_NAME = re.compile(rf"(.+?)[_\-. ](?:{'|'.join(LABEL_WORDS)})$", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One person's scan, as files.

    Attributes:
        name: what both files are called, without endings.
        images: one file, or several contrasts in their order; a DICOM series is a folder.
        labels: the label map, where one is known.
    """

    name: str
    images: tuple[Path, ...]
    labels: Path | None = None

    def read(self) -> tuple[Image, LabelMap]:
        """Image and labels.

        Raises:
            InputError: one of the files cannot be used.
        """
        assert self.labels is not None
        return self.read_image(), read_labels(self.labels)

    def read_image(self) -> Image:
        """The image alone, contrasts as channels.

        Raises:
            InputError: it cannot be used.
        """
        return as_image(list(self.images) if len(self.images) > 1 else self.images[0], self.name)


def stem(path: Path) -> str:
    """A file's name without the ending of its format."""
    name = path.name
    found = next((s for s in SUFFIXES if name.lower().endswith(s)), "")
    return name[: len(name) - len(found)]


def find_support(folder: str | Path) -> list[Case]:
    """Labelled cases: from subfolders images and labels, or pairs such as A.nii.gz and A_labels.nii.gz.

    Raises:
        InputError: no folder, no pair in it, or an image without labels.
    """
    folder = _folder(folder)
    subfolders = [folder / "images", folder / "labels"]
    if all(f.is_dir() for f in subfolders):
        return find_cases(*subfolders)
    files = _volumes(folder)
    maps = {p for p in files if p.name.lower().endswith(".seg.nrrd") or _LABEL_NAME.match(stem(p))}
    return _paired(folder.name, [p for p in files if p not in maps], sorted(maps))


def find_cases(images: str | Path, labels: str | Path) -> list[Case]:
    """Labelled cases of two folders, paired by the names of the files.

    An image NAME.* or NAME_0000.* belongs to labels NAME.* or NAME_labels.*; NAME_0000, NAME_0001, … are
    contrasts of one person.

    Raises:
        InputError: a folder is missing or empty, or an image has no labels.
    """
    folder = _folder(images)
    return _paired(folder.name, _volumes(folder), _volumes(_folder(labels)))


def find_pairs(predictions: str | Path, labels: str | Path) -> list[tuple[str, Path, Path]]:
    """(name, prediction, labels) of the label maps that are in both folders.

    Raises:
        InputError: a folder is missing, or no name is in both.
    """
    ours, truth = _folder(predictions), _folder(labels)
    given, known = _maps(_volumes(ours)), _maps(_volumes(truth))
    names = sorted(given.keys() & known.keys())
    if not names:
        raise InputError(
            f"{ours.name} has {len(given)} label maps and {truth.name} {len(known)}, none of the same name; "
            "name predictions as the labels are named"
        )
    return [(name, given[name], known[name]) for name in names]


def find_images(paths: Sequence[str | Path]) -> list[Case]:
    """Cases without labels: image files, DICOM folders, and whole folders of images.

    Raises:
        InputError: a path that does not exist, or two images of one name: what is made of them would have it.
    """
    found: list[Path] = []
    for given in map(Path, paths):
        if not given.exists():
            raise InputError(f"{given.name} does not exist; give an image, or a folder of images")
        files = [p for p in _volumes(given) if p.is_file()] if given.is_dir() else []
        found += files or [given]
    return [Case(name, tuple(sorted(files))) for name, files in _people(found).items()]


def image_of(folder: str | Path | None, name: str) -> tuple[Path, ...]:
    """The files of the image called `name` in a folder; none where it is not there."""
    if folder is None:
        return ()
    return tuple(p for p in _volumes(_folder(folder)) if _person(stem(p)) == name)


def _folder(path: str | Path) -> Path:
    if not Path(path).is_dir():
        raise InputError(f"{Path(path).name} is no folder; give one with images and labels")
    return Path(path)


def _volumes(folder: Path) -> list[Path]:
    """Images, label maps and DICOM folders in a folder."""
    return sorted(
        p
        for p in folder.iterdir()
        if not p.name.startswith(".") and (p.name.lower().endswith(SUFFIXES) or _is_series(p))
    )


def _is_series(path: Path) -> bool:
    return path.is_dir() and any(p.is_file() and not p.name.startswith(".") for p in path.iterdir())


def _person(name: str) -> str:
    match = _CHANNEL.match(name)
    return match[1] if match else name


def _people(images: Iterable[Path]) -> dict[str, list[Path]]:
    """Images by person: only NAME_0000, NAME_0001 … of one folder are contrasts of one.

    Raises:
        InputError: two persons have one name.
    """
    people: dict[tuple[Path, str], list[Path]] = {}
    for path in dict.fromkeys(images):
        contrast = _CHANNEL.match(stem(path))
        people.setdefault((path.parent, contrast[1]) if contrast else (path, ""), []).append(path)
    named: dict[str, list[Path]] = {}
    for files in people.values():
        if (name := _person(stem(files[0]))) in named:
            raise InputError(
                f"{named[name][0].name} and {files[0].name} would both be called {name}; give files of "
                "different names, and contrasts of one person as NAME_0000, NAME_0001 … in one folder"
            )
        named[name] = files
    return named


def _maps(files: Sequence[Path]) -> dict[str, Path]:
    """Label maps by the name of their case."""
    found: dict[str, Path] = {}
    for path in files:
        match = _LABEL_NAME.match(stem(path))
        found.setdefault(match[1] if match else stem(path), path)
    return found


def _paired(what: str, images: Sequence[Path], labels: Sequence[Path]) -> list[Case]:
    people, maps = _people(images), _maps(labels)
    missing = sorted(people.keys() - maps.keys())
    if not people or missing:
        without = f"no labels for {missing[0]}" if missing else "no image"
        raise InputError(
            f"{what} holds {len(people)} images and {len(maps)} label maps, {without}; give each image NAME "
            "labels called NAME or NAME_labels, in folders images and labels or side by side"
        )
    return [Case(name, tuple(files), maps[name]) for name, files in sorted(people.items())]
