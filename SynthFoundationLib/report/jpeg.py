"""Pictures as bytes, through SimpleITK: the report needs no plotting library."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

_QUALITY = 88


def jpeg(rgb: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 as a JPEG file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.jpg"
        sitk.WriteImage(sitk.GetImageFromArray(rgb, isVector=True), str(path), True, _QUALITY)
        return path.read_bytes()
