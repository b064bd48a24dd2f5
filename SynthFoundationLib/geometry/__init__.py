"""Physical space: grids, sampling and spatial transforms.

The one geometry contract of the library: physical points are LPS millimetres, a transform maps fixed points
to moving points, tensors are ``(C, D, H, W)`` with D the slowest axis (voxel index k), and every conversion
between millimetres, voxels and ``grid_sample`` coordinates happens in `grid` and `sampling`.
"""

from .antialiasing import smooth
from .fields import compose, exponential, invert, log_jacobian_statistics
from .grid import Grid
from .itk import from_sitk, read_transform, to_sitk, write_transform
from .labelling import resample_labels
from .sampling import covered, grid_points, resample, sample
from .transforms import Affine, Composite, DisplacementField, Transform

__all__ = [
    "Affine",
    "Composite",
    "DisplacementField",
    "Grid",
    "Transform",
    "compose",
    "covered",
    "exponential",
    "from_sitk",
    "grid_points",
    "invert",
    "log_jacobian_statistics",
    "read_transform",
    "resample",
    "resample_labels",
    "sample",
    "smooth",
    "to_sitk",
    "write_transform",
]
