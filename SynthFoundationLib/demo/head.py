"""A head made of formulas, in two MR contrasts: scalp, skull, folded cortex, ventricles, deep nuclei, eyes.

It is nobody's head; positions and sizes are round numbers of an adult's, in LPS mm around the brain's centre.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from ..geometry import Grid
from ..images import Image
from .shapes import Coordinates, blend, common, ellipsoid, noise, tube, union, without

SPACING = 1.5
GRID = Grid((120, 136, 134), (SPACING,) * 3, (-89.25, -104.0, -112.0))
_EDGE_MM = 1.5
# T1- and T2-weighted brightness
_TISSUES = {
    "air": (3, 3),
    "skin": (95, 85),
    "fat": (225, 165),
    "muscle": (92, 48),
    "bone": (14, 10),
    "marrow": (150, 95),
    "csf": (36, 240),
    "grey": (112, 128),
    "white": (168, 84),
    "nucleus": (128, 108),
    "pallidum": (150, 66),
    "thalamus": (138, 112),
    "vitreous": (34, 245),
    "lens": (85, 50),
    "mucosa": (105, 190),
    "vein": (40, 30),
}


class _Canvas:
    """Two contrasts painted body over body, with edges as soft as a scanner's."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.values = np.empty((2, *shape), np.float32)
        self.values[:] = np.reshape(_TISSUES["air"], (2, 1, 1, 1))

    def paint(self, body: np.ndarray, tissue: str, opacity: np.ndarray | float = 1.0) -> None:
        """Cover what is there by `tissue` where the distance `body` is negative."""
        cover = np.clip(0.5 - body / _EDGE_MM, 0, 1) * opacity
        self.values += cover * (np.reshape(_TISSUES[tissue], (2, 1, 1, 1)) - self.values)


def make_head(rng: np.random.Generator) -> Image:
    """Paint a head: channel 0 is T1-weighted, channel 1 is T2-weighted, without noise or shading."""
    points = _individual(rng)
    canvas = _Canvas(GRID.shape)
    texture = noise(GRID.shape, 2.0, rng)
    cerebrum, cerebellum, stem = _brain(points)
    cavity = blend(blend(cerebrum, cerebellum, 7), stem + 4, 8) - 2.2
    skull = np.maximum(cavity - 6.5 - noise(GRID.shape, 12, rng), -95 - points[2])
    _paint_soft_parts(canvas, points, skull, texture)
    _paint_face(canvas, points, texture)
    _paint_skull(canvas, points, skull, cavity, texture)
    _paint_cerebrum(canvas, points, cerebrum, rng)
    _paint_deep(canvas, points)
    _paint_hindbrain(canvas, points, cerebellum, stem, rng)
    canvas.values *= 1 + 0.035 * noise(GRID.shape, 0.8, rng)
    return Image(torch.from_numpy(canvas.values), GRID)


def _individual(rng: np.random.Generator) -> Coordinates:
    """Coordinates bent a little, so that no two heads are alike and none is symmetric."""
    z, y, x = np.meshgrid(*[np.arange(n, dtype=np.float32) * SPACING for n in GRID.shape], indexing="ij")
    x, y, z = (axis + np.float32(start) for axis, start in zip((x, y, z), GRID.origin, strict=True))
    bend = [1.6 * noise(GRID.shape, 18, rng) for _ in range(3)]
    size = rng.uniform(0.96, 1.03, 3).astype(np.float32)
    return x * size[0] + bend[0], y * size[1] + bend[1], z * size[2] + bend[2]


def _sides(points: Coordinates) -> Coordinates:
    """Coordinates in which left and right are one: for bodies that come in pairs."""
    return np.abs(points[0]), points[1], points[2]


def _brain(points: Coordinates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    both = _sides(points)
    hemispheres = ellipsoid(points, (0, 1, 14), (61, 73, 51))
    temporal = ellipsoid(both, (38, -4, -14), (22, 40, 20))
    cerebrum = np.maximum(
        blend(hemispheres, temporal, 10), -(both[2] + 14 + 0.2 * points[1]) - 0.55 * both[0]
    )
    cerebellum = blend(
        ellipsoid(both, (24, 44, -34), (27, 27, 21)), ellipsoid(points, (0, 46, -32), (12, 26, 20)), 6
    )
    stem = tube(points, [(0, 8, -6), (0, 16, -30), (0, 24, -52), (0, 28, -140)], [15, 15, 9, 6.5])
    return cerebrum, cerebellum, stem


def _paint_soft_parts(canvas: _Canvas, points: Coordinates, skull: np.ndarray, texture: np.ndarray) -> None:
    both = _sides(points)
    face = ellipsoid(points, (0, -42, -52), (58, 50, 62))
    neck = tube(points, [(0, 20, -50), (0, 28, -150)], [56, 54])
    nose = tube(points, [(0, -80, -22), (0, -90, -50)], [7, 9])
    ear = common(ellipsoid(both, (80, 14, -28), (7, 16, 26)), -ellipsoid(both, (86, 10, -28), (7, 9, 16)))
    head = union(blend(blend(blend(skull - 6, face, 18), neck, 25), nose, 8), ear)
    canvas.paint(head, "skin")
    canvas.paint(head + 2.2, "fat")
    deep = common(head + 8, -blend(skull - 1.5, head + 60, 4))
    fibres = ndimage.uniform_filter1d(texture, 11, axis=0)
    canvas.paint(deep, "muscle", np.clip(0.8 + 0.7 * fibres, 0.15, 1))
    temporalis = common(ellipsoid(both, (66, -26, -10), (11, 30, 40)), head + 5)
    canvas.paint(temporalis, "muscle")


def _paint_face(canvas: _Canvas, points: Coordinates, texture: np.ndarray) -> None:
    both = _sides(points)
    jaw = union(
        tube(both, [(44, -20, -60), (42, -28, -98), (8, -84, -108)], [6, 7, 8]),
        ellipsoid(points, (0, -70, -66), (30, 24, 14)),
    )
    canvas.paint(jaw, "bone")
    canvas.paint(jaw + 3, "marrow", np.clip(0.7 + 0.4 * texture, 0, 1))
    canvas.paint(ellipsoid(points, (0, -48, -92), (22, 32, 18)), "muscle")
    sinuses = union(
        ellipsoid(both, (25, -60, -46), (13, 17, 17)),
        ellipsoid(points, (0, -62, -45), (10, 26, 15)),
        ellipsoid(points, (0, -26, -32), (12, 11, 9)),
        ellipsoid(both, (10, -75, 2), (8, 3.5, 8)),
        tube(points, [(0, -22, -48), (0, -16, -140)], [7, 6]),
    )
    sinuses += 1.2 * texture
    canvas.paint(sinuses - 2.5, "bone")
    canvas.paint(sinuses - 1, "mucosa")
    canvas.paint(sinuses + 0.7, "air")
    turbinates = common(ellipsoid(both, (7, -60, -46), (2.5, 24, 12)), sinuses)
    canvas.paint(turbinates, "mucosa")
    canvas.paint(common(np.abs(points[0]) - 0.8, sinuses), "mucosa")
    mastoid = ellipsoid(both, (58, 20, -42), (10, 15, 16))
    canvas.paint(mastoid, "bone", np.clip(0.8 + texture, 0, 1))
    orbit = union(
        ellipsoid(both, (28, -64, -18), (16, 22, 15)), tube(both, [(28, -60, -18), (12, -30, -18)], [13, 4])
    )
    canvas.paint(orbit - 2, "bone")
    canvas.paint(orbit, "fat")
    recti = common(np.abs(tube(both, [(30, -68, -18), (13, -34, -18)], [11, 4])) - 1.3, orbit)
    canvas.paint(recti, "muscle")
    canvas.paint(tube(both, [(30, -66, -18), (12, -32, -16)], [2.2, 2.2]), "white")
    eye = ellipsoid(both, (31, -71, -18), (12, 12, 12))
    canvas.paint(eye - 0.8, "muscle")
    canvas.paint(eye + 0.6, "vitreous")
    canvas.paint(ellipsoid(both, (31, -80, -18), (4.5, 2.2, 4.5)), "lens")


def _paint_skull(
    canvas: _Canvas, points: Coordinates, skull: np.ndarray, cavity: np.ndarray, texture: np.ndarray
) -> None:
    canvas.paint(skull, "bone")
    canvas.paint(common(skull + 2.0, -cavity + 1.8), "marrow", np.clip(0.75 + 0.35 * texture, 0, 1))
    canvas.paint(cavity, "csf")
    sinus = common(np.abs(points[0]) - 4, np.abs(cavity + 2) - 3.5, -points[2], -20 - points[1])
    canvas.paint(sinus, "vein")


def _paint_cerebrum(
    canvas: _Canvas, points: Coordinates, cerebrum: np.ndarray, rng: np.random.Generator
) -> None:
    """Grey and white matter with sulci: sheets that a random field's zero crossings draw into the surface."""
    both = _sides(points)
    sheet = _sulcal_sheets(points, rng)
    depth = 19 + 5 * noise(GRID.shape, 8, rng)
    core = ellipsoid((np.zeros_like(points[0]), points[1], points[2]), (0, 6, 1), (50, 44, 25))
    midline = common(np.abs(points[0] + 0.8 * noise(GRID.shape, 12, rng)), -core)
    plane = both[2] + 3 + 0.28 * (points[1] + 5)
    sylvian = common(np.abs(plane), 33 - both[0], np.abs(points[1] + 6) - 30)
    folded = common(-cerebrum - depth, -ellipsoid(points, (0, 5, -2), (32, 40, 22)))
    cuts = union(common(sheet, folded), midline, sylvian)
    grey = without(cerebrum, cuts - 0.7)
    white = without(cerebrum + 2.9, cuts - 3.3, common(sheet - 3.3, folded - 2.5))
    canvas.paint(grey, "grey")
    canvas.paint(white, "white")


def _sulcal_sheets(points: Coordinates, rng: np.random.Generator) -> np.ndarray:
    """Distance in mm to sheets that stand upright on the surface of the brain.

    The field hardly changes along the radius, hence its zero crossings run inwards as sulci do.
    """
    center = np.reshape((0.0, 2.0, 4.0), (3, 1, 1, 1))
    offset = np.stack(points) - center
    radius = np.sqrt((offset**2).sum(0)) + 1e-3
    flattened = offset * (60 / radius) ** 0.75
    field = noise((128, 128, 128), 1.9, rng)
    wrinkle = noise(GRID.shape, 4.5, rng)
    index = flattened[::-1] / 1.4 + 64
    value = ndimage.map_coordinates(field, index, order=1, mode="wrap") + 0.16 * wrinkle
    value = ndimage.gaussian_filter(value, 0.6)
    slope = np.sqrt(sum(g**2 for g in np.gradient(value, SPACING)))
    return np.abs(value) / np.maximum(slope, 0.04)


def _paint_deep(canvas: _Canvas, points: Coordinates) -> None:
    both = _sides(points)
    flat = (np.zeros_like(points[0]), points[1], points[2])
    arch = common(np.abs(ellipsoid(flat, (0, 6, 1), (50, 40, 22))) - 3.2, -points[2] - 2, both[0] - 16)
    canvas.paint(arch, "white")
    canvas.paint(common(ellipsoid(flat, (0, 6, 1), (50, 35, 17)), both[0] - 1.5, -points[2]), "csf", 0.5)
    canvas.paint(ellipsoid(both, (27, -4, -2), (6, 19, 12)), "nucleus")
    canvas.paint(ellipsoid(both, (20, -1, -4), (5, 12, 8)), "pallidum")
    canvas.paint(tube(both, [(13, -26, 3), (16, -8, 13), (19, 16, 16)], [7.5, 5, 3]), "nucleus")
    canvas.paint(ellipsoid(both, (11, 12, -2), (9.5, 16, 10)), "thalamus")
    canvas.paint(tube(both, [(24, -8, -22), (28, 10, -20), (24, 28, -8)], [6, 5, 3.5]), "grey")
    lateral = tube(
        both,
        [(7, -32, 2), (7, -12, 12), (10, 12, 15), (20, 34, 7), (31, 14, -14), (31, -2, -20)],
        [4.5, 4.5, 4.5, 6.5, 2.6, 2.2],
    )
    occipital = tube(both, [(20, 34, 7), (20, 52, 4)], [6, 2.5])
    third = ellipsoid(points, (0, 8, -6), (1.9, 16, 10))
    canvas.paint(without(union(lateral, occipital), both[0] - 0.9), "csf")
    canvas.paint(third, "csf")
    canvas.paint(ellipsoid(both, (15, 33, 6), (4, 5, 4)), "nucleus", 0.45)
    cistern = union(
        ellipsoid(points, (0, -16, -20), (13, 11, 6)), ellipsoid(points, (0, 33, -12), (13, 7, 5))
    )
    canvas.paint(cistern, "csf")


def _paint_hindbrain(
    canvas: _Canvas, points: Coordinates, cerebellum: np.ndarray, stem: np.ndarray, rng: np.random.Generator
) -> None:
    texture, wander = noise(GRID.shape, 2, rng), noise(GRID.shape, 6, rng)
    both = _sides(points)
    canal = union(common(stem - 4, points[2] + 30), cerebellum - 2)
    spine = common(tube(points, [(0, 34, -78), (0, 38, -150)], [17, 17]), points[2] + 80)
    canvas.paint(spine, "bone")
    canvas.paint(spine + 3, "marrow", np.clip(0.6 + 0.3 * texture, 0, 1))
    canvas.paint(canal, "csf")
    radius = np.hypot(points[1] - 30, points[2] + 30)
    folia = np.sin(2 * np.pi * radius / 4.4 + 2.5 * wander)
    canvas.paint(cerebellum, "grey")
    canvas.paint(common(cerebellum, -cerebellum - 9), "csf", np.clip(1.4 * folia - 0.5, 0, 0.8))
    canvas.paint(cerebellum + 4, "white", np.clip(0.25 - 1.2 * folia, 0, 0.85))
    canvas.paint(ellipsoid(both, (14, 38, -34), (14, 12, 8)), "white")
    canvas.paint(ellipsoid(both, (14, 40, -35), (5, 6, 4)), "nucleus")
    canvas.paint(stem, "white", 0.8)
    canvas.paint(ellipsoid(points, (0, 12, -28), (14, 8, 11)), "nucleus", 0.5)
    canvas.paint(ellipsoid(points, (0, 31, -32), (5, 5, 10)), "csf")
