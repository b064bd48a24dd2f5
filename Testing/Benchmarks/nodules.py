"""A nodule in a scan of many voxels: is it outlined as well as if it had been cut out first?

Usage: python Testing/Benchmarks/nodules.py IMAGE [--spacing MM] [--radius MM …] [--draws N]

The image is resampled to fine voxels with some noise, and a made nodule, a tenth brighter or darker, is put
where there is tissue. Its middle slice and those half-way to its ends are labelled. Printed are the Dice on
its other slices and the seconds of the first answer, in the whole scan and in a cube of 80 mm cut from it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from scipy import ndimage

from SynthFoundationLib.geometry import Grid, resample
from SynthFoundationLib.images import Image, as_image, foreground, normalise
from SynthFoundationLib.segmentation import FewShotSession

NOISE, CONTRAST = 0.02, 0.12  # of the range of intensities
LUMPS_MM, LUMPINESS = 6.0, 0.18  # wavelength and depth of what makes a nodule no ball
HALF_MM = 40.0
ROW = "{:.3f} {:5.1f}, {:.3f} {:5.1f}"


def nodule(grid: Grid, centre: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """A (D, H, W) mask of a lumpy ball; `centre` is a voxel (k, j, i), `radius` in mm."""
    spacing = np.array(grid.spacing[::-1])
    half = np.ceil(1.5 * radius / spacing).astype(int)
    around = tuple(slice(max(0, c - h), c + h + 1) for c, h in zip(centre, half, strict=True))
    result = np.zeros(grid.shape, bool)
    lumps = ndimage.gaussian_filter(rng.normal(size=result[around].shape), LUMPS_MM / spacing)
    places = np.ogrid[tuple(slice(s.start, min(s.stop, n)) for s, n in zip(around, grid.shape, strict=True))]
    far = np.sqrt(sum(((p - c) * s) ** 2 for p, c, s in zip(places, centre, spacing, strict=True)))
    result[around] = far + LUMPINESS * radius * lumps / lumps.std() < radius
    return result


def outlined(image: Image, truth: np.ndarray) -> tuple[float, float]:
    """Dice on slices that are not labelled, and seconds."""
    held = np.flatnonzero(truth.any((1, 2)))
    labelled = sorted({int(held[round(share * (len(held) - 1))]) for share in (0.25, 0.5, 0.75)})
    seeds = np.zeros(truth.shape, np.uint16)
    seeds[labelled] = truth[labelled]
    start = time.perf_counter()
    found = FewShotSession(image).update((seeds, image.grid)).labels.data.numpy() > 0
    seconds = time.perf_counter() - start
    found[labelled] = truth[labelled] = False
    return 2 * (found & truth).sum() / (found.sum() + truth.sum()), seconds


def main() -> None:
    """Print a line per nodule, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--spacing", type=float, default=0.5)
    parser.add_argument("--radius", type=float, nargs="+", default=[5.0, 10.0])
    parser.add_argument("--draws", type=int, default=2)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    coarse = as_image(given.image)
    grid = coarse.grid.with_spacing(given.spacing)
    plain = resample(normalise(coarse, foreground(coarse)), coarse.grid, grid, fill=None)[0].numpy()
    plain += NOISE * rng.normal(size=plain.shape).astype(np.float32)
    tissue = ndimage.zoom(ndimage.binary_erosion(foreground(coarse).numpy(), iterations=10), 0.5, order=0)
    print(f"{grid.voxels / 1e6:.0f} million voxels; Dice and seconds: whole, cut out")
    rows = []
    for radius in given.radius:
        for _ in range(given.draws):
            chosen = tissue.nonzero()
            where = rng.integers(len(chosen[0]))
            centre = [(axis[where] + 0.5) / n for axis, n in zip(chosen, tissue.shape, strict=True)]
            centre = (np.array(centre) * grid.shape).astype(int)
            truth = nodule(grid, centre, radius, rng)
            shown = torch.from_numpy(plain + CONTRAST * rng.choice((-1, 1)) * truth)[None].float()
            half = int(HALF_MM / given.spacing)
            start, stop = np.maximum(centre - half, 0), np.minimum(centre + half, grid.shape)
            part = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
            cut = Image(shown[(slice(None), *part)].contiguous(), grid.cropped(start[::-1], stop[::-1]))
            rows.append((*outlined(Image(shown, grid), truth.copy()), *outlined(cut, truth[part].copy())))
            print(f"{radius:4.0f} mm: {ROW.format(*rows[-1])}")
    print(f"mean:    {ROW.format(*np.mean(rows, 0))}")


if __name__ == "__main__":
    with torch.no_grad():
        main()
