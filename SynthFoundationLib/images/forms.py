"""Where a NIfTI header says that the volume lies: twice, by a qform and by an sform, of which ITK takes one.

ITK and 3D Slicer take the sform where its code is 1 or there is no qform. But they pass without a word to
the qform where the sform is sheared, as only the sform can be.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

_TOLERANCE = 1e-3  # cosine between two axes; header numbers are rounded


def sheared_sform(reader: sitk.ImageFileReader) -> bool:
    """Whether a header that was read has an sform that no regular grid has, whatever else is in it."""
    if not all(reader.HasMetaDataKey(key) for key in ("sform_code", "srow_x", "srow_y", "srow_z")):
        return False
    if int(reader.GetMetaData("sform_code")) <= 0:
        return False
    axes = np.array([_numbers(reader, f"srow_{axis}")[:3] for axis in "xyz"])
    lengths = np.linalg.norm(axes, axis=0)
    if not (np.isfinite(lengths).all() and lengths.min() > 0):
        return True
    axes = axes / lengths
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > _TOLERANCE)


def _numbers(reader: sitk.ImageFileReader, key: str) -> list[float]:
    return [float(number) for number in reader.GetMetaData(key).split()]
