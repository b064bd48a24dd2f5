"""How exactly a rigid or affine motion is found: scans moved by a known one, in another contrast.

Usage: python Testing/Benchmarks/known_motion.py SCAN … [--transform rigid|affine] [--preset NAME] [--seed N]

The moving scan is SCAN with its grey values folded over, so that the middle ones become the brightest, and
noise of 3 %, in voxels a fifth as large again, moved by SimpleITK: turned by up to 20 degrees about each
axis, shifted, for `affine` also stretched by up to 8 %. It is shown as that, with slices four times as thick,
and with a third cut off. Printed is the mean distance in mm from where the points of the patient belong, and
the longest; beside it that of Mattes mutual information (SimpleITK), which starts at the truth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from SynthFoundationLib.registration import register

DEGREES, SHIFT, STRETCH = 20.0, 0.1, 0.08  # shift as a share of the scan's length
NOISE = 0.03  # of the range of grey values
COARSER, THICK, CUT = 1.2, 4.0, 1 / 3
LATTICE = 24  # points along the longest axis


def main() -> None:
    """Print a line per scan and way to show it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--transform", choices=["rigid", "affine"], default="rigid")
    parser.add_argument("--preset", choices=["fast", "default", "accurate"], default="default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)
    errors = []
    for path in arguments.scans:
        generator = np.random.default_rng(arguments.seed)
        fixed = sitk.ReadImage(str(path), sitk.sitkFloat32)
        motion = moved_by(fixed, generator, arguments.transform)
        points = of_the_patient(fixed)
        belong = np.array([motion.TransformPoint(point) for point in points.tolist()])
        for name, moving in shown(fixed, motion, generator):
            start = time.perf_counter()
            result = register(fixed, moving, transform=arguments.transform, preset=arguments.preset)
            seconds = time.perf_counter() - start
            ours = np.linalg.norm(result.transform.apply(points) - belong, axis=1)
            other = mutual_information(fixed, moving, motion)
            theirs = np.linalg.norm([other.TransformPoint(p) for p in points.tolist()] - belong, axis=1)
            errors.append((ours.mean(), theirs.mean()))
            print(
                f"{path.name}, {name}: {ours.mean():.3f}, at most {ours.max():.3f} mm in {seconds:.1f} s; "
                f"mutual information {theirs.mean():.3f}, {theirs.max():.3f}",
                flush=True,
            )
    ours, theirs = np.mean(errors, axis=0)
    print(f"mean {ours:.3f} mm, mutual information {theirs:.3f} mm")


def moved_by(fixed: sitk.Image, generator: np.random.Generator, kind: str) -> sitk.AffineTransform:
    """A random motion about the centre, fixed → moving."""
    degrees = generator.uniform(-DEGREES, DEGREES, 3)
    matrix = Rotation.from_rotvec(np.deg2rad(degrees)).as_matrix()
    if kind == "affine":
        matrix = matrix @ (np.eye(3) + generator.uniform(-STRETCH, STRETCH, (3, 3)))
    motion = sitk.AffineTransform(3)
    motion.SetCenter(centre(fixed).tolist())
    motion.SetMatrix(matrix.ravel().tolist())
    motion.SetTranslation((generator.uniform(-SHIFT, SHIFT, 3) * extent(fixed).max()).tolist())
    return motion


def shown(
    fixed: sitk.Image, motion: sitk.AffineTransform, generator: np.random.Generator
) -> Iterator[tuple[str, sitk.Image]]:
    """The moving scan in several ways, with their names."""
    values = sitk.GetArrayFromImage(fixed)
    low, high = np.percentile(values, (0.5, 99.5))
    part = np.clip((values - low) / (high - low), 0, 1)
    folded = np.where(part > 0, 1 - np.abs(part - 0.5) * 1.6, 0)
    folded += generator.normal(0, NOISE, folded.shape)
    scan = sitk.GetImageFromArray(folded.astype(np.float32))
    scan.CopyInformation(fixed)
    spacing = COARSER * np.array(fixed.GetSpacing())
    size = np.ceil(1.1 * extent(fixed) / spacing).astype(int)
    thick = spacing * np.where(np.arange(3) == spacing.argmax(), THICK, 1)
    whole = sampled(scan, motion, spacing, size)
    yield "as it is", whole
    yield "thick slices", sampled(scan, motion, thick, np.ceil(size * spacing / thick).astype(int))
    first = np.where(np.arange(3) == size.argmax(), np.round(CUT * size), 0).astype(int)
    yield "a third cut off", whole[tuple(slice(n, None) for n in first.tolist())]


def sampled(scan: sitk.Image, motion: sitk.Transform, spacing: np.ndarray, size: np.ndarray) -> sitk.Image:
    """The scan moved, on voxels of `spacing` mm around its centre, averaged along thick slices."""
    there = np.array(motion.TransformPoint(centre(scan).tolist()))
    finer = np.maximum(1, np.round(spacing / (COARSER * np.array(scan.GetSpacing())))).astype(int)
    fine = sitk.Image([int(n) for n in size * finer], sitk.sitkFloat32)
    fine.SetSpacing((spacing / finer).tolist())
    fine.SetOrigin((there - (np.array(fine.GetSize()) - 1) / 2 * np.array(fine.GetSpacing())).tolist())
    moved = sitk.Resample(scan, fine, motion.GetInverse(), sitk.sitkLinear, 0.0)
    return sitk.BinShrink(moved, [int(n) for n in finer]) if (finer > 1).any() else moved


def mutual_information(fixed: sitk.Image, moving: sitk.Image, motion: sitk.AffineTransform) -> sitk.Transform:
    """Where Mattes mutual information leads from the true motion, rigid or affine as that is."""
    matrix = np.array(motion.GetMatrix()).reshape(3, 3)
    rigid = np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    start = sitk.Euler3DTransform() if rigid else sitk.AffineTransform(3)
    start.SetCenter(motion.GetCenter())
    start.SetMatrix(motion.GetMatrix(), *([1e-5] if rigid else []))
    start.SetTranslation(motion.GetTranslation())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.3, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1, 0])
    method.SetOptimizerAsRegularStepGradientDescent(0.5, 1e-4, 100)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, True)
    method.Execute(fixed, moving)
    return start


def of_the_patient(scan: sitk.Image) -> np.ndarray:
    """Points (N, 3) in mm of a lattice where the scan is brighter than on average."""
    values = sitk.GetArrayViewFromImage(scan)
    step = max(1, max(values.shape) // LATTICE)
    index = np.argwhere(values[::step, ::step, ::step] > values.mean())[:, ::-1] * step
    return np.array([scan.TransformIndexToPhysicalPoint(i) for i in index.tolist()])


def extent(scan: sitk.Image) -> np.ndarray:
    """Lengths of the scan in mm along its axes."""
    return np.array(scan.GetSize()) * np.array(scan.GetSpacing())


def centre(scan: sitk.Image) -> np.ndarray:
    """Its centre in mm."""
    return np.array(scan.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in scan.GetSize()]))


if __name__ == "__main__":
    main()
