"""A small picture of a registration at work: the moving scan over the fixed one, in three planes."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import torch

from ..geometry import Transform, resample
from ..images import Image, foreground, normalise
from ..report.pictures import blend
from ..report.planes import body_centre, three_planes

# Voxels along the longest axis of what is cut, and pixels along the longest edge of a plane.
_VOXELS, _PIXELS = 96, 180
_GAP = 4


class Overview:
    """Draws one pair of scans again and again, each time in some hundredths of a second."""

    def __init__(self, fixed: Image, moving: Image) -> None:
        """Take the scans; of several contrasts the first is drawn."""
        self._fixed, self._moving = fixed.glanced_at(_VOXELS), moving.glanced_at(_VOXELS)
        self._body = foreground(self._fixed)
        self._still = normalise(self._fixed, self._body)
        self._over = normalise(self._moving)

    @torch.no_grad()
    def draw(self, transform: Transform) -> np.ndarray:
        """Axial, coronal and sagittal cuts side by side → (H, W, 3) uint8."""
        centre = body_centre(self._body, self._fixed.grid, transform, self._moving.grid)
        cuts = []
        for plane in three_planes(self._fixed.grid, centre, _PIXELS):
            still = resample(self._still, self._fixed.grid, plane.grid)[0, 0]
            moved = resample(self._over, self._moving.grid, plane.grid, transform, fill=float("nan"))[0, 0]
            rgb = blend(still.numpy(), moved.numpy())
            cuts.append(np.rint(255 * np.clip(rgb, 0, 1)).astype(np.uint8))
        height = max(len(cut) for cut in cuts)
        return np.concatenate([_framed(cut, height) for cut in cuts], 1)[:, :-_GAP]


def png(rgb: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 as a PNG file (ISO/IEC 15948)."""
    height, width = rgb.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row starts with filter type 0
    rows[:, 1:] = rgb.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 3)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _framed(cut: np.ndarray, height: int) -> np.ndarray:
    """The cut in the middle of a strip of this height, with a gap to its right."""
    above = (height - len(cut)) // 2
    return np.pad(cut, ((above, height - len(cut) - above), (0, _GAP), (0, 0)))
