"""The transform of a registration in the two parts that every program can rebuild."""

from __future__ import annotations

import numpy as np

from ..geometry import Affine, Composite, DisplacementField, Transform


def affine_and_field(transform: Transform) -> tuple[np.ndarray, DisplacementField | None]:
    """The matrix and the field of p ↦ affine(p + u(p)); the field is None where there is no deformation."""
    parts = transform.transforms if isinstance(transform, Composite) else [transform]
    field = parts[0] if parts and isinstance(parts[0], DisplacementField) else None
    matrix = np.eye(4)
    for part in parts[field is not None :]:
        if not isinstance(part, Affine):
            raise TypeError(f"a transform of parts {[type(one).__name__ for one in parts]} is not expected")
        matrix = part.matrix @ matrix
    return matrix, field
