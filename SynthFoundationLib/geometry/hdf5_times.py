"""The same transform gives the same file: the times that HDF5 notes in its object headers are taken out.

An object header (HDF5 File Format Specification 3.0, IV.A.1.b) begins with "OHDR", a version and flags; where
the flags say so, four times follow. It ends with a checksum of all that is before, Jenkins's lookup3.
"""

from __future__ import annotations

import mmap
from pathlib import Path

_SIGNATURE, _VERSION = b"OHDR", 2
_TIMES, _PHASES, _SIZE_BYTES = 0x20, 0x10, 0x03  # bits of the flags
_TIME_BYTES, _PHASE_BYTES, _CHECKSUM_BYTES = 16, 4, 4
_WORD = 0xFFFFFFFF


def forget_times(path: Path) -> None:
    """Set the times in a file that has just been written to zero; other data that look alike are left."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        place = content.find(_SIGNATURE)
        while place >= 0:
            _forget(content, place)
            place = content.find(_SIGNATURE, place + 1)


def _forget(content: mmap.mmap, start: int) -> None:
    prefix = start + len(_SIGNATURE) + 2
    if content[prefix - 2 : prefix - 1] != bytes([_VERSION]) or len(content) < prefix + _TIME_BYTES:
        return
    flags = content[prefix - 1]
    if not flags & _TIMES:
        return
    size_at = prefix + _TIME_BYTES + (_PHASE_BYTES if flags & _PHASES else 0)
    size_bytes = 1 << (flags & _SIZE_BYTES)
    end = size_at + size_bytes + int.from_bytes(content[size_at : size_at + size_bytes], "little")
    if end + _CHECKSUM_BYTES > len(content) or content[end : end + _CHECKSUM_BYTES] != _sum(
        content[start:end]
    ):
        return
    content[prefix : prefix + _TIME_BYTES] = bytes(_TIME_BYTES)
    content[end : end + _CHECKSUM_BYTES] = _sum(content[start:end])


def _sum(data: bytes) -> bytes:
    return lookup3(data).to_bytes(_CHECKSUM_BYTES, "little")


def lookup3(data: bytes) -> int:
    """Bob Jenkins's hash of 2006 (`hashlittle`), begun with 0."""
    a = b = c = (0xDEADBEEF + len(data)) & _WORD
    if not data:
        return c
    whole = (len(data) - 1) // 12 * 12
    for place in range(0, whole, 12):
        a, b, c = _mixed(*_added(a, b, c, data[place : place + 12]))
    return _final(*_added(a, b, c, data[whole:]))


def _added(a: int, b: int, c: int, block: bytes) -> tuple[int, int, int]:
    words = [int.from_bytes(block[n : n + 4], "little") for n in (0, 4, 8)]
    return (a + words[0]) & _WORD, (b + words[1]) & _WORD, (c + words[2]) & _WORD


def _turned(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _WORD


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _WORD) ^ _turned(c, bits)
        c = (c + b) & _WORD
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _turned(b, bits)) & _WORD
        a, b, c = b, c, a
    return b
