"""What ITK does not notice: files that end early or whose compressed data are damaged.

ITK fills what is missing from a NIfTI file, or what cannot be decompressed in a MetaImage file, with zeros
and says nothing. Here the header is compared with what the file holds before any voxel is read.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import InputError

_CHUNK = 1 << 22
_NIFTI_1 = "40x8h16xh2x8ff"  # dim, bitpix, pixdim, vox_offset
_NIFTI_2 = "14xh8q24x8dq"  # bitpix, dim, pixdim, vox_offset
_RAW_ENCODING = re.compile(rb"^encoding:\s*raw\s*$", re.MULTILINE)
_META_LOCAL = re.compile(rb"ElementDataFile\s*=\s*LOCAL\s*?\n")
_META_COMPRESSED = re.compile(rb"^CompressedData\s*=\s*True", re.MULTILINE | re.IGNORECASE)
_LONGEST_HEADER = 1 << 20
_BEST_COMPRESSION = 1100  # deflate cannot do better than 1032:1


@dataclass(frozen=True)
class _NiftiHeader:
    dimensions: tuple[int, ...]
    bits: int
    spacing: tuple[float, ...]
    offset: int

    @property
    def promised(self) -> int:
        return self.offset + math.prod(self.dimensions) * self.bits // 8


def check_integrity(path: Path) -> None:
    """Compare what the header promises with what the file holds.

    Raises:
        InputError: the file ends early, its compressed data are damaged, or a NIfTI spacing is not positive.
    """
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            _check_nifti(path)
        elif name.endswith(".mha"):
            _check_meta(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path) from error


def check_promise(path: Path, promised: int) -> None:
    """Refuse a header that promises more bytes than the file could hold, before memory is set aside.

    Raises:
        InputError: the file is too small for its header.
    """
    held = path.stat().st_size
    raw = path.suffix.lower() == ".nrrd" and _RAW_ENCODING.search(_head(path))
    detached = path.suffix.lower() in (".mhd", ".nhdr", ".hdr", ".img")
    if not detached and promised > held * (1 if raw else _BEST_COMPRESSION):
        raise _ends_early(path, promised, held)


def _check_nifti(path: Path) -> None:
    with _opened(path) as file:
        header = _nifti_header(file.read(544))
        if header is None:
            return  # ITK says what is wrong
        spacing = header.spacing[:3]
        if not all(math.isfinite(s) and s > 0 for s in spacing):
            raise InputError(
                f"{path.name} has voxel spacing {spacing} mm; it must be positive: repair the header"
            )
        file.seek(0)
        held = sum(len(chunk) for chunk in iter(lambda: file.read(_CHUNK), b""))
    if header.promised > held:
        raise _ends_early(path, header.promised, held)


def _opened(path: Path) -> IO[bytes]:
    compressed = path.open("rb").read(2) == b"\x1f\x8b"
    return gzip.open(path) if compressed else path.open("rb")


def _nifti_header(head: bytes) -> _NiftiHeader | None:
    if len(head) < 540:
        return None
    for order in "<>":
        kind = struct.unpack_from(f"{order}i", head)[0]
        if kind == 348:
            *dim, bits = struct.unpack_from(order + _NIFTI_1, head)[:9]
            *pixdim, offset = struct.unpack_from(order + _NIFTI_1, head)[9:]
        elif kind == 540:
            bits, *dim, offset = struct.unpack_from(order + _NIFTI_2, head)
            dim, pixdim = dim[:8], dim[8:]
        else:
            continue
        rank = dim[0]
        possible = 1 <= rank <= 7 and min(dim[1 : rank + 1]) > 0 and bits > 0 and math.isfinite(offset)
        if not possible:
            return None
        return _NiftiHeader(tuple(dim[1 : rank + 1]), bits, tuple(pixdim[1 : rank + 1]), int(offset))
    return None


def _check_meta(path: Path) -> None:
    local = _META_LOCAL.search(head := _head(path))
    if not local or not _META_COMPRESSED.search(head[: local.end()]):
        return
    inflate = zlib.decompressobj()
    with path.open("rb") as file:
        file.seek(local.end())
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            while chunk:
                inflate.decompress(chunk, _CHUNK)
                chunk = inflate.unconsumed_tail
    if not inflate.eof:
        raise _damaged(path)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LONGEST_HEADER)


def _damaged(path: Path) -> InputError:
    return InputError(
        f"{path.name} is damaged: its compressed data cannot be read to the end; copy or export it again"
    )


def _ends_early(path: Path, promised: int, held: int) -> InputError:
    return InputError(
        f"{path.name} is truncated: its header promises {promised:,} bytes, the file holds {held:,}; "
        "copy or export it again"
    )
