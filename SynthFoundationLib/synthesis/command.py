"""The `synthesize` verb: pairs on disk and a contact sheet, for a person to judge the engine."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.synthesis.engine import Pair, render, sample


def synthesize(
    count: int,
    out: str | Path,
    size: int = 128,
    seed: int = 0,
    templates: str | Path | None = None,
    device: str = "cpu",
) -> Path:
    """Write pairs (`NNNN_view1.nii.gz`, `…view2…`, `…labels…`), their parameters, and `sheet.png`.

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
        InputError: for a count below one, a size below 16 or an empty template folder.
    """
    if count < 1:
        raise InputError(f"count {count}: at least one pair is needed")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    source = None
    if templates is not None:
        from SynthFoundationLib.synthesis.templates import open_templates

        source = open_templates(templates)
    from SynthFoundationLib.synthesis.sheet import block, contact_sheet

    blocks, titles = [], []
    for k in range(count):
        parameters = sample(seed + k, (size,) * 3, source)
        pair = render(parameters, device)
        for name, volume in zip(Pair._fields, pair, strict=True):
            _write(volume, folder / f"{k:04d}_{name}.nii.gz")
        text = json.dumps(parameters, indent=1)
        (folder / f"{k:04d}_parameters.json").write_text(text, encoding="utf-8")
        if k < 32:
            blocks.append(block(pair))
            titles.append(f"seed {seed + k}: {len(pair.labels.unique())} labels")
    return contact_sheet(blocks, folder / "sheet.png", titles)


def _write(volume: Tensor, path: Path) -> None:
    """Write beside and rename; voxels of 1 mm."""
    import SimpleITK as sitk

    partial = path.with_name(f".partial_{path.name}")
    sitk.WriteImage(sitk.GetImageFromArray(volume.cpu().numpy()), str(partial), useCompression=True)
    partial.replace(path)
