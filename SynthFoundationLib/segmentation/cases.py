"""Labelled scans on disk: which label map belongs to which image, whatever naming people use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from ..errors import InputError
from ..images import Image, LabelMap, as_image, read_labels
from ..quiet import quiet

SEGMENTATIONS = (".seg.nrrd", ".seg.nhdr")
HEADERS = (".hdr", ".nhdr", ".mhd")  # whose voxels may be in a file of the same name
SUFFIXES = (*SEGMENTATIONS, ".nii.gz", ".nii", ".nrrd", ".mha", *HEADERS, ".img")
SLICES = (".dcm", ".ima")
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


@dataclass(frozen=True)
class Pairs:
    """Predictions beside the labels of the same cases.

    Attributes:
        cases: (name, prediction, labels).
        unpredicted, unlabelled: names of what only the labels, and only the predictions have.
    """

    cases: list[tuple[str, Path, Path]]
    unpredicted: list[str]
    unlabelled: list[str]

    @property
    def left_out(self) -> str:
        """What cannot be compared, in words; nothing where all can."""
        lacks = (("no prediction", self.unpredicted), ("no labels", self.unlabelled))
        return "; ".join(f"{what} for: {', '.join(names)}" for what, names in lacks if names)


def stem(path: Path) -> str:
    """A file's name without the ending of its format."""
    name = path.name
    found = next((s for s in SUFFIXES if name.lower().endswith(s)), "")
    return name[: len(name) - len(found)] or "scan"  # a drive has no name


def find_support(folder: str | Path) -> list[Case]:
    """Labelled cases: from subfolders images and labels, or pairs such as A.nii.gz and A_labels.nii.gz.

    Raises:
        InputError: no folder, no pair in it, or an image without labels.
    """
    folder = _folder(folder)
    subfolders = [folder / "images", folder / "labels"]
    return find_cases(*subfolders) if all(f.is_dir() for f in subfolders) else find_cases(folder, folder)


def find_cases(images: str | Path, labels: str | Path) -> list[Case]:
    """Labelled cases of two folders, or of one that is both, paired by the names of the files.

    An image NAME.* or NAME_0000.* belongs to labels NAME.seg.nrrd, NAME_labels.* or, in a folder of their
    own, NAME.*; NAME_0000, NAME_0001, … are contrasts of one person.

    Raises:
        InputError: a folder is missing or empty, or an image has no labels.
    """
    folder, other = _folder(images), _folder(labels)
    if not folder.samefile(other):
        return _paired(folder.name, _scans(folder), _volumes(other))
    files = _volumes(folder)
    maps = [path for path in files if _is_map(path)]
    return _paired(folder.name, [path for path in files if path not in maps], maps)


def find_pairs(predictions: str | Path, labels: str | Path) -> Pairs:
    """Label maps of two folders by the names of their cases.

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
    cases = [(name, given[name], known[name]) for name in names]
    return Pairs(cases, sorted(known.keys() - given.keys()), sorted(given.keys() - known.keys()))


def find_images(paths: Sequence[str | Path]) -> list[Case]:
    """Cases without labels: image files, DICOM folders, and whole folders of either.

    Raises:
        InputError: a path that does not exist, a folder without images, or two images of one name: what is
            made of them would have it.
    """
    found: list[Path] = []
    for given in map(_named, paths):
        if not given.exists():
            raise InputError(f"{given.name} does not exist; give an image, or a folder of images")
        found += _images_in(given) if given.is_dir() else [given]
    return [Case(name, tuple(sorted(files))) for name, files in _people(found).items()]


def images_by_name(folder: str | Path) -> dict[str, tuple[Path, ...]]:
    """The files of each image in a folder.

    Raises:
        InputError: it is missing, or two of its images have one name.
    """
    return {name: tuple(files) for name, files in _people(_scans(_folder(folder))).items()}


def _named(path: str | Path) -> Path:
    """The same path, ending with a name: "." and ".." have none."""
    return Path(path).resolve() if Path(path).name in ("", "..") else Path(path)


def _folder(path: str | Path) -> Path:
    if not Path(path).is_dir():
        raise InputError(f"{Path(path).name} is no folder; give one with images and labels")
    return _named(path)


def _images_in(folder: Path) -> list[Path]:
    """Scans in a folder, which may be a DICOM series itself; what lies below one belongs to it."""
    scans = _scans(folder)
    if _is_series(folder):
        return [folder, *(path for path in scans if path.is_file())]
    if not scans:
        raise InputError(
            f"{folder.name} holds neither images nor DICOM series; give an image file, a DICOM folder, or a "
            "folder of these"
        )
    return scans


def _scans(folder: Path) -> list[Path]:
    return [path for path in _volumes(folder) if not _is_segmentation(path)]


def _volumes(folder: Path) -> list[Path]:
    """Images and label maps in a folder, by their headers where these are apart, and DICOM folders."""
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    apart = {stem(path) for path in paths if path.name.lower().endswith(HEADERS)}
    return [
        path
        for path in paths
        if (_is_series(path) if path.is_dir() else path.name.lower().endswith(SUFFIXES))
        and not (path.suffix.lower() == ".img" and stem(path) in apart)
    ]


def _is_series(folder: Path) -> bool:
    try:
        return any(_is_slice(path) for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise InputError(
            f"the folder {folder.name} cannot be looked into: {error.strerror}; allow it to be read, or name "
            "the images one by one"
        ) from error


def _is_slice(path: Path) -> bool:
    """Whether a file is DICOM, by its name or else by its content; a medium's table of contents is not."""
    name = path.name.lower()
    if name.startswith(".") or name == "dicomdir" or name.endswith(SUFFIXES):
        return False
    if name.endswith(SLICES):
        return True
    with path.open("rb") as file:
        if file.read(132)[128:] == b"DICM":  # also where it is damaged, which reading it will tell
            return True
    with quiet():
        return bool(sitk.ImageFileReader.GetImageIOFromFileName(str(path)) == "GDCMImageIO")


def _is_segmentation(path: Path) -> bool:
    return path.name.lower().endswith(SEGMENTATIONS)


def _is_map(path: Path) -> bool:
    """Whether its name says that a file holds labels."""
    return _is_segmentation(path) or _LABEL_NAME.match(stem(path)) is not None


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
    """Label maps by the name of their case; a plain NAME beside NAME_labels or NAME.seg.nrrd is its scan.

    Raises:
        InputError: two label maps are of one case.
    """
    marked = _by_case(path for path in files if _is_map(path))
    others = (path for path in files if not _is_map(path) and _person(stem(path)) not in marked)
    return _by_case(others) | marked


def _by_case(maps: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in maps:
        match = _LABEL_NAME.match(stem(path))
        other = found.setdefault(match[1] if match else stem(path), path)
        if other != path:
            raise InputError(
                f"{other.name} and {path.name} in {path.parent.name} would both be the labels of one case; "
                "leave one of them there"
            )
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
