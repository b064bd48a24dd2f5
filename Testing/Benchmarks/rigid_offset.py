"""How far scans of one person lie apart that are taken for aligned: a look at a benchmark's truth.

Usage: python Testing/Benchmarks/rigid_offset.py FIXED MOVING …

Each MOVING is registered rigidly to FIXED by SimpleITK's Mattes mutual information; nothing of this library
takes part. Printed is how far the result moves the voxels of FIXED that are not zero, in mm.
"""

from __future__ import annotations

import sys

import numpy as np
import SimpleITK as sitk

BINS, SMOOTHING_MM, SHRINK, LATTICE = 48, 0.5, 2, 8


def rigid_offset(fixed: sitk.Image, moving: sitk.Image) -> float:
    """Mean length in mm of the rigid motion that mutual information prefers to none."""
    mask = fixed > 0
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(sitk.Cast(mask, sitk.sitkUInt8))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([SHRINK])
    method.SetSmoothingSigmasPerLevel([SMOOTHING_MM])
    method.SetOptimizerAsRegularStepGradientDescent(0.2, 1e-3, 60)
    method.SetOptimizerScalesFromPhysicalShift()
    motion = sitk.Euler3DTransform()
    motion.SetCenter(fixed.TransformContinuousIndexToPhysicalPoint([n / 2 for n in fixed.GetSize()]))
    method.SetInitialTransform(motion, True)
    method.Execute(fixed, moving)
    inside = np.argwhere(sitk.GetArrayViewFromImage(mask)[::LATTICE, ::LATTICE, ::LATTICE]) * LATTICE
    points = [fixed.TransformIndexToPhysicalPoint([int(n) for n in index[::-1]]) for index in inside]
    moved = [motion.TransformPoint(point) for point in points]
    return float(np.linalg.norm(np.subtract(moved, points), axis=1).mean())


def main() -> None:
    """Print a line per moving scan."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    fixed = sitk.ReadImage(sys.argv[1], sitk.sitkFloat32)
    for path in sys.argv[2:]:
        offset = rigid_offset(fixed, sitk.ReadImage(path, sitk.sitkFloat32))
        print(f"{path}: {offset:.2f} mm", flush=True)


if __name__ == "__main__":
    main()
