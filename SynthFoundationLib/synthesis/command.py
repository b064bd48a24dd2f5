"""The `synthesize` verb: pairs on disk and a contact sheet, for a person to judge the engine."""

from __future__ import annotations

import json
import re
from pathlib import Path

from torch import Tensor

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.files import output_folder, replacing, replacing_all
from SynthFoundationLib.synthesis.engine import Pair, render, sample
from SynthFoundationLib.synthesis.sheet import block, contact_sheet

SHEET = "sheet.png"
_LARGEST_SHEET = 32  # pairs
_WRITTEN = re.compile(rf"\d{{4,}}_(?:(?:{'|'.join(Pair._fields)})\.nii\.gz|parameters\.json)")


def synthesize(
    count: int,
    out: str | Path,
    size: int = 128,
    seed: int = 0,
    templates: str | Path | None = None,
    device: str = "cpu",
) -> Path:
    """Write pairs (`NNNN_view1.nii.gz`, `…view2…`, `…labels…`), their parameters, and `sheet.png`.

    They take their places together, the sheet last; those of an earlier run make way for them.

    Args:
        count: number of pairs.
        out: folder, made when missing.
        size: voxels along each axis.
        seed: of the first pair; the others follow.
        templates: folder of label maps whose shapes to use.
        device: where to render.

    Returns:
        The contact sheet.

    Raises:
        InputError: for a count below one, a size below 16, an empty template folder, or a folder that another
            run is writing to or that cannot be written to.
    """
    if count < 1:
        raise InputError(f"count {count}: at least one pair is needed")
    source = None
    if templates is not None:
        from SynthFoundationLib.synthesis.templates import open_templates

        source = open_templates(templates)
    blocks, titles = [], []
    with output_folder(out) as folder, replacing_all(folder, SHEET, _earlier(folder)) as beside:
        for k in range(count):
            parameters = sample(seed + k, (size,) * 3, source)
            pair = render(parameters, device)
            for name, volume in zip(Pair._fields, pair, strict=True):
                _write(volume, beside / f"{k:04d}_{name}.nii.gz")
            with replacing(beside / f"{k:04d}_parameters.json") as file:
                file.write_text(json.dumps(parameters, indent=1), encoding="utf-8")
            if k < _LARGEST_SHEET:
                blocks.append(block(pair))
                titles.append(f"seed {seed + k}: {len(pair.labels.unique())} labels")
        contact_sheet(blocks, beside / SHEET, titles)
    return folder / SHEET


def written(folder: Path) -> list[str]:
    """Names of the files of pairs that are in a folder."""
    return [path.name for path in folder.glob("*") if _WRITTEN.fullmatch(path.name)]


def _earlier(folder: Path) -> list[str]:
    """Of the files of pairs those beside their parameters: others of such a name are the user's."""
    return [name for name in written(folder) if (folder / f"{name[:4]}_parameters.json").is_file()]


def _write(volume: Tensor, path: Path) -> None:
    """Voxels of 1 mm."""
    import SimpleITK as sitk

    from SynthFoundationLib.images.image import write_volume

    write_volume(sitk.GetImageFromArray(volume.cpu().numpy()), path, (".nii.gz",))
