"""What ITK does not notice: files that end early or whose compressed data are damaged.

ITK says nothing when it puts zeros in place of what is missing from a NIfTI file, of NaN there, or of what
cannot be decompressed in a MetaImage file, nor when the checksum of an NRRD file does not fit. Here the
header is compared with what the file holds before any voxel is used.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np

from ..errors import InputError

_CHUNK = 1 << 22
_NIFTI_1 = "40x8h14x2h2x8ff"  # dim, datatype, bitpix, pixdim, vox_offset
_NIFTI_2 = "12x2h8q24x8dq"  # datatype, bitpix, dim, pixdim, vox_offset
_FLOATS = {16: "f4", 64: "f8"}
_RAW_ENCODING = re.compile(rb"^encoding:\s*raw\s*$", re.MULTILINE)
_META_END = re.compile(
    rb"^ElementDataFile[ \t]*=[ \t]*(LOCAL[ \t]*\r?\n|(?!LOCAL)[^\n]+(\n|\Z))", re.MULTILINE
)
_META_COMPRESSED = re.compile(rb"^CompressedData\s*=\s*True", re.MULTILINE | re.IGNORECASE)
# Numbers that make ITK read beyond its memory where they are not small and positive.
_META_COUNT = re.compile(rb"^(?:NDims|ElementNumberOfChannels)[ \t]*=[ \t]*([^\r\n]*)", re.MULTILINE | re.I)
_SMALL_NUMBER = re.compile(rb"\s*0*[1-9]\d{0,3}\s*")
_NRRD_COMPRESSED = re.compile(rb"^encoding:\s*(gzip|gz)\s*$", re.MULTILINE)
_NRRD_END = re.compile(rb"\r?\n\r?\n|\Z")
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_LONGEST_LINE = 32_000
_LONGEST_HEADER = 1 << 20
_LARGEST_OFFSET = 1 << 40
_BEST_COMPRESSION = 1100  # deflate cannot do better than 1032:1


@dataclass(frozen=True)
class _NiftiHeader:
    dimensions: tuple[int, ...]
    bits: int
    float_type: np.dtype | None
    spacing: tuple[float, ...]
    offset: int

    @property
    def promised(self) -> int:
        return self.offset + math.prod(self.dimensions) * self.bits // 8


def check_integrity(path: Path) -> None:
    """Compare what the header promises with what the file holds.

    Raises:
        InputError: the file ends early, its compressed data are damaged, or a NIfTI file has spacing that is
            not positive or voxels that are not finite.
    """
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            _check_nifti(path)
        elif name.endswith((".mha", ".mhd")):
            _check_text_format(path, _META_END, _META_COMPRESSED)
        elif name.endswith((".nrrd", ".nhdr")):
            _check_text_format(path, _NRRD_END, _NRRD_COMPRESSED)
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


def some_voxels(count: int) -> str:
    """The subject of a sentence about so many voxels."""
    return "1 voxel that is" if count == 1 else f"{count:,} voxels that are"


def bad_spacing(path: Path, spacing: Sequence[float]) -> InputError:
    """What to say of a header whose spacing is impossible."""
    given = " × ".join(f"{s:.6g}" for s in spacing)
    return InputError(
        f"{path.name} has voxels of {given} mm; spacing must be positive and finite: repair the header"
    )


def _check_nifti(path: Path) -> None:
    with _opened(path) as file:
        header = _nifti_header(file.read(544))
        if header is None:
            return  # ITK says what is wrong
        spacing = header.spacing[:3]
        if not all(math.isfinite(s) and s > 0 for s in spacing):
            raise bad_spacing(path, spacing)
        file.seek(header.offset)
        held, odd = header.offset, 0
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            held += len(chunk)
            if header.float_type:
                values = np.frombuffer(chunk, header.float_type, len(chunk) // header.float_type.itemsize)
                odd += int((~np.isfinite(values)).sum())
    if header.promised > held:
        raise _ends_early(path, header.promised, held)
    if odd:
        raise InputError(
            f"{path.name} has {some_voxels(odd)} NaN or infinite; replace them, for example by 0"
        )


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    compressed = _head(path, 2) == b"\x1f\x8b"
    return gzip.open(path) if compressed else path.open("rb")


def _nifti_header(head: bytes) -> _NiftiHeader | None:
    for order in "<>":
        kind = int.from_bytes(head[:4], "little" if order == "<" else "big")
        if len(head) < kind:
            continue
        if kind == 348:
            values = struct.unpack_from(order + _NIFTI_1, head)
            dim, (code, bits), pixdim, offset = values[:8], values[8:10], values[10:18], values[18]
        elif kind == 540:
            values = struct.unpack_from(order + _NIFTI_2, head)
            (code, bits), dim, pixdim, offset = values[:2], values[2:10], values[10:18], values[18]
        else:
            continue
        rank = dim[0]
        possible = (
            1 <= rank <= 7 and min(dim[1 : rank + 1]) > 0 and bits > 0 and 0 <= offset < _LARGEST_OFFSET
        )
        if not possible:
            return None
        float_type = np.dtype(order + _FLOATS[code]) if code in _FLOATS else None
        axes = slice(1, rank + 1)
        return _NiftiHeader(tuple(dim[axes]), bits, float_type, tuple(pixdim[axes]), int(offset))
    return None


def _check_text_format(path: Path, end: re.Pattern[bytes], compressed: re.Pattern[bytes]) -> None:
    """See that the header is lines of text, which ITK takes on trust, and that compressed data are whole."""
    head = _head(path)
    header = end.search(head)
    if not header:
        raise _damaged(path)
    if not all(_SMALL_NUMBER.fullmatch(count) for count in _META_COUNT.findall(head[: header.end()])):
        raise _damaged(path)
    lines = head[: header.end()].splitlines()
    if any(len(line) > _LONGEST_LINE or _NO_TEXT.search(line) for line in lines):
        raise _damaged(path)
    if compressed.search(head[: header.end()]) and header.end() < path.stat().st_size:
        _inflate(path, header.end())


def _inflate(path: Path, start: int) -> None:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib or gzip, as the data say
    with path.open("rb") as file:
        file.seek(start)
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            while chunk and not inflate.eof:
                inflate.decompress(chunk, _CHUNK)
                chunk = inflate.unconsumed_tail
    if not inflate.eof:
        raise _damaged(path)


def _head(path: Path, count: int = _LONGEST_HEADER) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _damaged(path: Path) -> InputError:
    return InputError(
        f"{path.name} is damaged: its header or its compressed data cannot be read; copy or export it again"
    )


def _ends_early(path: Path, promised: int, held: int) -> InputError:
    return InputError(
        f"{path.name} is truncated: its header promises {promised:,} bytes, the file holds {held:,}; "
        "copy or export it again"
    )
