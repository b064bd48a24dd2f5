"""Rendering of label ensembles: each layer is evaluated only in the box of voxels that it can reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from SynthFoundationLib.synthesis.draws import Parameters
from SynthFoundationLib.synthesis.fields import Shape, smooth_noise

Box = tuple[slice, slice, slice]


class Canvas:
    """Labels being painted, the world coordinates of every voxel and the fields shared by the layers."""

    def __init__(self, anatomy: Parameters, shape: Shape, device: torch.device) -> None:
        """Place the window in the world and deform it."""
        self.shape, self.device = shape, device
        self.labels = torch.zeros(shape, dtype=torch.uint8, device=device)
        self.matrix, self.shift = anatomy["matrix"], anatomy["shift"]
        inverse = torch.linalg.inv(torch.tensor(self.matrix, dtype=torch.float64))
        # Plain numbers: a hundred boxes of a few corners each are no work for tensors.
        self.inverse: list[list[float]] = inverse.tolist()
        self.stretch: list[float] = inverse.norm(dim=1).tolist()
        self.bumps = [smooth_noise(b["seed"], b["cells"], shape, device)[0] for b in anatomy["bumps"]]
        warps = [w["size"] * smooth_noise(w["seed"], w["cells"], shape, device, 3) for w in anatomy["warps"]]
        warp = torch.stack(warps).sum(0)
        self.slack = float(warp.abs().amax())
        self.world = torch.stack([self._linear(row) + warp[row] for row in range(3)])

    def _linear(self, row: int) -> Tensor:
        """One row of the affine, as a sum of three axis vectors."""
        axes = [(torch.arange(n, device=self.device) + 0.5) * (2 / n) - 1 for n in self.shape]
        z, y, x = (self.matrix[row][k] * axes[k] for k in range(3))
        return z[:, None, None] + y[None, :, None] + x[None, None, :] + self.shift[row]

    def box(self, points: Sequence[Sequence[float]], reach: float) -> Box | None:
        """Voxels within `reach` of the hull of world points, or None when outside of the window."""
        offsets = [[p - s for p, s in zip(point, self.shift, strict=True)] for point in points]
        sides = []
        for n, row, stretch in zip(self.shape, self.inverse, self.stretch, strict=True):
            along = [sum(r * o for r, o in zip(row, offset, strict=True)) for offset in offsets]
            margin = (reach + self.slack) * stretch
            low = int((min(along) - margin + 1) * n / 2)
            high = int((max(along) + margin + 1) * n / 2) + 1
            low, high = max(0, low), min(n, high)
            if low >= high:
                return None
            sides.append(slice(low, high))
        return sides[0], sides[1], sides[2]

    def seen(self, box: Box) -> tuple[Tensor, ...]:
        """World coordinates (z, y, x) of the voxels of a box."""
        everywhere = (slice(None), *box)
        return self.world[everywhere].unbind()

    def put(self, box: Box, where: Tensor, labels: Tensor | int, inside: bool) -> None:
        """Paint `labels` into the box where the mask holds; with `inside`, never over background."""
        view = self.labels[box]
        if inside:
            where = where & (view > 0)
        if isinstance(labels, int):
            view.masked_fill_(where, labels)
        else:
            view.copy_(torch.where(where, labels, view))

    def pick(self, table: Sequence[int], index: Tensor) -> Tensor:
        """Look labels up in a short table."""
        entries = torch.tensor(table, dtype=torch.uint8, device=self.device)
        return entries.index_select(0, index.int().flatten()).reshape(index.shape)


WHOLE: Box = (slice(None), slice(None), slice(None))
REACH = {2: 1.0, 4: 3**0.25, 8: 3**0.375}


def _radius(canvas: Canvas, layer: Parameters, box: Box) -> Tensor:
    """Superquadric radius, 1 on the surface, modulated by one of the shared bump fields."""
    z, y, x = canvas.seen(box)
    total = torch.zeros_like(z)
    for row in layer["matrix"]:
        offset = -sum(a * b for a, b in zip(row, layer["center"], strict=True))
        q = (z * row[0]).add_(y, alpha=row[1]).add_(x, alpha=row[2]).add_(offset).square_()
        for _ in range({2: 0, 4: 1, 8: 2}[layer["power"]]):
            q = q.square_()
        total.add_(q)
    radius = total.sqrt_() if layer["power"] == 2 else total.pow_(1 / layer["power"])
    if layer["amplitude"] > 0.01:
        radius = radius * (1 + layer["amplitude"] * canvas.bumps[layer["bump"]][box].clamp(-2, 2))
    return radius


def _solid_box(canvas: Canvas, layer: Parameters) -> Box | None:
    grown = layer["reach"] * REACH[layer["power"]] / max(0.3, 1 - 2 * layer["amplitude"])
    return canvas.box([layer["center"]], grown)


def _paint_solid(canvas: Canvas, layer: Parameters) -> None:
    box = _solid_box(canvas, layer)
    if box is None:
        return
    radius = _radius(canvas, layer, box)
    if len(layer["labels"]) == 1:
        canvas.put(box, radius < 1, layer["labels"][0], layer["inside"])
        return
    depth = sum((radius < shell).to(torch.uint8) for shell in layer["shells"])
    assert isinstance(depth, Tensor)
    canvas.put(box, depth > 0, canvas.pick([0, *layer["labels"]], depth), layer["inside"])


def _parcel_map(canvas: Canvas, layer: Parameters) -> Tensor:
    fields = smooth_noise(layer["seed"], layer["cells"], canvas.shape, canvas.device, len(layer["cuts"]))
    index = torch.zeros(canvas.shape, dtype=torch.uint8, device=canvas.device)
    for field, cuts in zip(fields, layer["cuts"], strict=True):
        index.mul_(len(cuts) + 1)
        for cut in cuts:
            index.add_(field > cut)
    return canvas.pick(layer["labels"], index)


def _paint_parcels(canvas: Canvas, layer: Parameters) -> None:
    found = _parcel_map(canvas, layer)
    canvas.put(WHOLE, torch.ones_like(found, dtype=torch.bool), found, layer["inside"])


def _paint_core(canvas: Canvas, layer: Parameters) -> None:
    """Parcels in the inner part of a body."""
    canvas.put(
        WHOLE, _radius(canvas, layer, WHOLE) < layer["below"], _parcel_map(canvas, layer["parcels"]), True
    )


def _paint_tube(canvas: Canvas, layer: Parameters) -> None:
    start, stop = layer["ends"]
    wide, thin = layer["radii"]
    box = canvas.box(layer["ends"], max(wide, thin))
    if box is None:
        return
    way = [b - a for a, b in zip(start, stop, strict=True)]
    p = [w - s for w, s in zip(canvas.seen(box), start, strict=True)]
    along = (p[0] * way[0] + p[1] * way[1] + p[2] * way[2]).div_(sum(w * w for w in way) + 1e-9).clamp_(0, 1)
    distance = sum((p[k] - along * way[k]).square_() for k in range(3))
    assert isinstance(distance, Tensor)
    canvas.put(box, distance < (wide + (thin - wide) * along).square_(), layer["label"], layer["inside"])


def _paint_sheet(canvas: Canvas, layer: Parameters) -> None:
    field = smooth_noise(layer["seed"], layer["cells"], canvas.shape, canvas.device)[0]
    canvas.put(WHOLE, (field - layer["level"]).abs_() < layer["width"], layer["label"], layer["inside"])


def _paint_mask(canvas: Canvas, layer: Parameters) -> None:
    radius = _radius(canvas, layer, WHOLE)
    inside = radius < 1
    canvas.labels.masked_fill_(inside & (canvas.labels == 0), layer["filling"])
    if layer["width"] > 0:
        canvas.labels.masked_fill_((radius - 1).abs_() < layer["width"], layer["labels"][0])
    canvas.labels.masked_fill_(radius >= 1 + layer["width"], 0)


def _paint_template(canvas: Canvas, layer: Parameters) -> None:
    """A shape from a template folder: its binary mask is sampled in the layer's own frame."""
    from SynthFoundationLib.synthesis.templates import template

    box = canvas.box([layer["center"]], layer["reach"] * 3**0.5)
    if box is None:
        return
    mask = template(layer["cache"], layer["index"]).to(canvas.device)
    p = [w - c for w, c in zip(canvas.seen(box), layer["center"], strict=True)]
    q = [row[0] * p[0] + row[1] * p[1] + row[2] * p[2] for row in layer["matrix"]]
    index = [((c + 1) * (n / 2)).floor_() for c, n in zip(q, mask.shape, strict=True)]
    valid = torch.ones_like(index[0], dtype=torch.bool)
    for c, n in zip(index, mask.shape, strict=True):
        valid &= (c >= 0) & (c < n)
        c.clamp_(0, n - 1)
    flat = (index[0] * mask.shape[1] + index[1]) * mask.shape[2] + index[2]
    hit = mask.flatten().index_select(0, flat.int().flatten()).reshape(valid.shape)
    canvas.put(box, valid & hit, layer["label"], layer["inside"])


PAINTERS: dict[str, Callable[[Canvas, Parameters], None]] = {
    "solid": _paint_solid,
    "parcels": _paint_parcels,
    "core": _paint_core,
    "tube": _paint_tube,
    "sheet": _paint_sheet,
    "mask": _paint_mask,
    "template": _paint_template,
}


def paint(anatomy: Parameters, shape: Shape, device: torch.device) -> Tensor:
    """Labels of an ensemble, (D, H, W) uint8, 0 is background."""
    canvas = Canvas(anatomy, shape, device)
    for layer in anatomy["layers"]:
        PAINTERS[layer["kind"]](canvas, layer)
    return canvas.labels


def subdivide(labels: Tensor, detail: Parameters) -> Tensor:
    """Cut some labels into finer ones along the level sets of a smooth field: (D, H, W) uint8."""
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    fields = smooth_noise(detail["seed"], detail["cells"], shape, labels.device, 2)
    table = torch.tensor(detail["table"], dtype=torch.uint8, device=labels.device)
    index = labels.int() * 4
    for bit, field in enumerate(fields):
        index.add_((field > detail["cuts"][bit]).int() << bit)
    return table.index_select(0, index.flatten()).reshape(labels.shape)
