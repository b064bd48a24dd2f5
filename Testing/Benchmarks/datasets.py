"""Pairs to register, and where their truth lies: folders of pairs, or a dataset in Learn2Reg's layout.

Learn2Reg: `NAME_dataset.json` lists pairs as {"fixed": "./imagesTr/NAME_0001_0000.nii.gz", "moving": …}; what
belongs to an image has its file name in a sister folder: labelsTr, masksTr, and as .csv landmarksTr (set by
hand) or keypointsTr (found automatically; keypoints01Tr where modalities 0 and 1 of several correspond).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import LabelMap, read_labels

SPLITS = {"train": "training_paired_images", "val": "registration_val", "test": "registration_test"}


@dataclass(frozen=True)
class Pair:
    """Two images and whatever tells how well they are aligned.

    Attributes:
        name, group: what tables call it, and the rows that it is averaged with.
        fixed, moving: images.
        labels: (fixed, moving) label maps.
        label_values: labels to score; None are those in both label maps, as the challenge does.
        masks: (fixed, moving) regions to compare.
        points: one .npz with x (fixed) and y (moving) in LPS mm, or two .csv of voxel indices (i, j, k).
        one_lattice: labels and masks lie on their image's voxels, whatever their own headers say.
    """

    name: str
    group: str
    fixed: Path
    moving: Path
    labels: tuple[Path, Path] | None = None
    label_values: tuple[int, ...] | None = None
    masks: tuple[Path, Path] | None = None
    points: tuple[Path, ...] = ()
    one_lattice: bool = False

    def read_maps(self, files: tuple[Path, Path], grids: tuple[Grid, Grid]) -> tuple[LabelMap, LabelMap]:
        """Read the label maps (or masks) of the fixed and the moving image, whose grids are given."""
        fixed, moving = (read_labels(file) for file in files)
        if not self.one_lattice:
            return fixed, moving
        return _on(fixed, grids[0], files[0]), _on(moving, grids[1], files[1])

    def read_points(self, grids: tuple[Grid, Grid]) -> tuple[np.ndarray, np.ndarray]:
        """Read corresponding points (N, 3) of both images, LPS mm."""
        if self.points[0].suffix == ".npz":
            with np.load(self.points[0], allow_pickle=False) as points:
                return points["x"].astype(float), points["y"].astype(float)
        fixed, moving = (np.loadtxt(file, delimiter=",", ndmin=2)[:, :3] for file in self.points)
        if fixed.shape != moving.shape:
            raise InputError(
                f"{self.points[0].name} has {len(fixed)} points and {self.points[1].name} {len(moving)}; "
                "row n of both must be the same place"
            )
        return grids[0].to_physical(fixed), grids[1].to_physical(moving)


def find_pairs(
    source: Path, splits: Sequence[str] = ("val", "test"), only: Sequence[str] = (), limit: int | None = None
) -> list[Pair]:
    """List the pairs that have a truth.

    Args:
        source: folder of pair folders, folder of a Learn2Reg dataset, or its .json file.
        splits: which lists of a Learn2Reg dataset: train, val, test.
        only: beginnings of the names to keep.
        limit: that many of each group, the first ones.

    Raises:
        InputError: there is nothing of that kind, or nothing is left.
    """
    described = _descriptions(source)
    pairs = [p for file in described for p in _learn2reg(file, splits)] if described else _folders(source)
    kept: list[Pair] = []
    for pair in pairs:
        wanted = not only or pair.name.startswith(tuple(only))
        if wanted and (limit is None or sum(k.group == pair.group for k in kept) < limit):
            kept.append(pair)
    if not kept:
        raise InputError(
            f"{source.name} has {len(pairs)} pairs with labels or points and none of them is wanted; "
            "give pair folders with info.json or a Learn2Reg dataset, and check --only and --split"
        )
    return kept


def _descriptions(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"{source.name} does not exist; give a folder of pairs or a Learn2Reg dataset")
    return sorted(source.glob("*dataset.json"))


def _folders(source: Path) -> list[Pair]:
    return [_folder(info.parent) for info in sorted(source.glob("*/info.json"))]


def _folder(folder: Path) -> Pair:
    info = _read_json(folder / "info.json")
    labels, points, masks = None, (), (folder / "fixed_mask.nii.gz", folder / "moving_mask.nii.gz")
    if info.get("kind") == "known":
        points = (folder / "points.npz",)
    elif info.get("kind") == "dice":
        labels = (folder / "fixed_seg.nii.gz", folder / "moving_seg.nii.gz")
    else:
        raise InputError(f"{folder.name}: kind is {info.get('kind')!r}; allowed are 'known' and 'dice'")
    return Pair(
        name=folder.name,
        group=folder.name[0],
        fixed=folder / "fixed.nii.gz",
        moving=folder / "moving.nii.gz",
        labels=labels,
        label_values=tuple(info["labels"]) if "labels" in info else None,
        masks=_present(masks),
        points=points,
    )


def _learn2reg(file: Path, splits: Iterable[str]) -> list[Pair]:
    described = _read_json(file)
    keys = [SPLITS[split] for split in splits]
    if not any(key in described for key in SPLITS.values()):
        raise InputError(f"{file.name} lists no pairs; a Learn2Reg dataset has {', '.join(SPLITS.values())}")
    group = str(described.get("name") or file.name.removesuffix(".json").removesuffix("_dataset"))
    found: dict[str, Pair] = {}
    for entry in (entry for key in keys for entry in described.get(key, [])):
        if not isinstance(entry, dict) or not {"fixed", "moving"} <= entry.keys():
            raise InputError(f"{file.name} lists {entry!r} as a pair; a pair has fixed and moving")
        pair = _listed(file.parent / entry["fixed"], file.parent / entry["moving"], group)
        if pair.labels or pair.points:  # test sets are published without
            found.setdefault(pair.name, pair)
    return list(found.values())


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file.parent.name}/{file.name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file.parent.name}/{file.name} holds a {type(content).__name__}; give an object")
    return content


def _listed(fixed: Path, moving: Path, group: str) -> Pair:
    short = moving.name.removesuffix(".nii.gz").removeprefix(f"{group}_")
    numbers = "".join(sorted(_modality(image) for image in (fixed, moving)))
    kinds = ("landmarks", f"keypoints{numbers}", "keypoints")
    points = (_present((_sister(fixed, kind, ".csv"), _sister(moving, kind, ".csv"))) for kind in kinds)
    return Pair(
        name=f"{fixed.name.removesuffix('.nii.gz')}_to_{short}",
        group=group,
        fixed=fixed,
        moving=moving,
        labels=_present((_sister(fixed, "labels"), _sister(moving, "labels"))),
        masks=_present((_sister(fixed, "masks"), _sister(moving, "masks"))),
        points=next((files for files in points if files), ()),
        one_lattice=True,
    )


def _sister(image: Path, kind: str, suffix: str = ".nii.gz") -> Path:
    """Find imagesTr/X.nii.gz's companion, such as labelsTr/X.nii.gz."""
    folder = image.parent.with_name(image.parent.name.replace("images", kind))
    return folder / (image.name.removesuffix(".nii.gz") + suffix)


def _modality(image: Path) -> str:
    """Give the last digit of NAME_0001_0000.nii.gz's second number, the modality."""
    return image.name.removesuffix(".nii.gz")[-1]


def _present(files: tuple[Path, Path]) -> tuple[Path, Path] | None:
    return files if all(file.is_file() for file in files) else None


def _on(labels: LabelMap, grid: Grid, file: Path) -> LabelMap:
    if labels.grid.size != grid.size:
        raise InputError(f"{file.name} has size {labels.grid.size}, its image {grid.size}; they must agree")
    return LabelMap(labels.data, grid)
