"""The parameters of a request, taken one by one and refused where they cannot be used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from ..geometry import Grid
    from .exchange import Exchange

T = TypeVar("T")
_LONGEST_NAME = 200


class Params:
    """Typed access; everything raises `InputError` with the name of the method and the parameter."""

    def __init__(self, method: str, values: dict[str, Any], exchange: Exchange) -> None:
        """Take the parameters of a request and the folder that their arrays lie in."""
        self._method, self._values, self._exchange = method, values, exchange

    def refuse_others(self, known: Sequence[str]) -> None:
        """Refuse names that the method does not take."""
        strange = sorted(self._values.keys() - set(known))
        if strange:
            takes = ", ".join(known) or "no parameters"
            raise InputError(f"{self._method} does not take {strange[0]!r:.60}; it takes {takes}")

    def text(self, name: str) -> str:
        """A name such as that of a volume or session."""
        value = self._values.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME or not value.isprintable():
            raise self._wrong(name, f"must be a name of 1 to {_LONGEST_NAME} characters")
        return value

    def optional_text(self, name: str) -> str | None:
        """A name or path, or None."""
        return None if self._values.get(name) is None else self.text(name)

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        """One of several words."""
        value = self._values.get(name, default)
        if value not in allowed:
            raise self._wrong(name, f"is {value!r:.60}; allowed are {', '.join(allowed)}")
        return value

    def choices(self, name: str, allowed: Sequence[str]) -> list[str]:
        """Some of several words."""
        value = self._values.get(name)
        if not isinstance(value, list) or not value or any(one not in allowed for one in value):
            raise self._wrong(name, f"must be a list of {', '.join(allowed)}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "must be true or false")
        return value

    def number(self, name: str, low: float, high: float, default: float) -> float:
        """A number between two others."""
        value = self._values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise self._wrong(name, f"must be a number from {low:g} to {high:g}")
        return float(value)

    def whole(self, name: str, low: int, high: int, default: int | None) -> int | None:
        """A whole number between two others, or the default."""
        value = self._values.get(name, default)
        if value is None and default is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(name, f"must be a whole number from {low} to {high}")
        return value

    def matrix(self, name: str) -> np.ndarray | None:
        """A 4×4 affine matrix that can be inverted, or None."""
        if self._values.get(name) is None:
            return None
        matrix = self._numbers(name, self._values[name])
        if matrix.shape != (4, 4) or not np.array_equal(matrix[3], (0, 0, 0, 1)):
            raise self._wrong(name, "must be a 4×4 matrix of finite numbers whose last row is 0, 0, 0, 1")
        if abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
            raise self._wrong(name, "is singular; give a transform that can be inverted")
        return matrix

    def points(self, name: str) -> np.ndarray | None:
        """(N, 3) LPS mm, or None where none are given."""
        if not self._values.get(name):
            return None
        points = self._numbers(name, self._values[name])
        if points.ndim != 2 or points.shape[1] != 3:
            raise self._wrong(name, "must be a list of [x, y, z] in LPS mm, all finite")
        return points

    def array(self, name: str) -> np.ndarray:
        """An array, read from its file."""
        value = self._values.get(name)
        if not isinstance(value, dict) or set(value) != {"file"}:
            raise self._wrong(name, 'must be an array, {"file": name}')
        return self._exchange.read(value["file"], f"{self._method}: {name}")

    def optional_array(self, name: str) -> np.ndarray | None:
        """An array, or None."""
        return None if self._values.get(name) is None else self.array(name)

    def grid(self, name: str) -> Grid:
        """A grid in LPS mm."""
        from ..geometry import Grid

        value = self._values.get(name)
        fields = {"size": 3, "spacing": 3, "origin": 3, "direction": 9}
        if not isinstance(value, dict) or set(value) != set(fields):
            raise self._wrong(name, f"must have {', '.join(fields)}")
        for field, count in fields.items():
            numbers = self._numbers(f"{name}.{field}", value[field])
            if numbers.shape != (count,):
                raise self._wrong(f"{name}.{field}", f"must be {count} finite numbers")
        if not all(isinstance(n, int) and n < 2**31 for n in value["size"]):
            raise self._wrong(f"{name}.size", "must be whole numbers")
        return Grid(**value)

    def box(self, name: str, shape: Sequence[int]) -> tuple[slice, ...] | None:
        """A part [[k0, k1], [j0, j1], [i0, i1]] of an array of this shape, or None."""
        value = self._values.get(name)
        if value is None:
            return None
        bounds = self._numbers(name, value)
        if bounds.shape != (3, 2) or (bounds != np.rint(bounds)).any():
            raise self._wrong(name, "must be [[k0, k1], [j0, j1], [i0, i1]]")
        ends = zip(bounds.astype(int).tolist(), shape, strict=True)
        if not all(0 <= a <= b <= n for (a, b), n in ends):
            raise self._wrong(name, f"lies outside the volume of {tuple(shape)} voxels (k, j, i)")
        return tuple(slice(a, b) for a, b in bounds.astype(int).tolist())

    def get(self, name: str) -> Any:
        """The parameter as it came."""
        return self._values.get(name)

    def wrong(self, name: str, why: str) -> InputError:
        """The error to raise for a parameter that was got as it came."""
        return self._wrong(name, why)

    def _numbers(self, name: str, value: Any) -> np.ndarray:
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._wrong(name, "must be numbers") from error
        if not _only_numbers(value) or not np.isfinite(array).all():
            raise self._wrong(name, "must be finite numbers")
        return array

    def _wrong(self, name: str, why: str) -> InputError:
        return InputError(f"{self._method}: {name} {why}")


def _only_numbers(value: Any) -> bool:
    """Whether nested lists hold nothing but numbers; "1" and true are none."""
    if isinstance(value, list):
        return all(_only_numbers(one) for one in value)
    return type(value) is int or (type(value) is float and math.isfinite(value))
