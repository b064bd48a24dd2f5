"""`synthfoundation features`: the dense features of an image, as a file and as colours."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .choices import Device, Features
from .console import say, tell
from .overwriting import refuse_overwriting

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ..features.extract import FeatureVolume
    from ..images import Image

_SHARE = 0.7  # of the free memory that is taken
_LITTLE_GB = 1.0  # what the network is given where all that it would like is not there


def features(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="One image, or several contrasts of one patient.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Vector image to write, .nrrd or .nii.gz.")],
    backend: Annotated[Features, typer.Option("--features", help="Which features.")] = Features.auto,
    weights: Annotated[str | None, typer.Option(metavar="ID|PATH", help="Pretrained weights.")] = None,
    spacing: Annotated[
        float | None, typer.Option(min=0.1, max=50, help="Voxel size in mm. [default: the image's finest]")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG of three planes, features as colours.")] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    max_memory: Annotated[
        float | None, typer.Option(min=0.1, metavar="GB", help="What the network may use besides the image.")
    ] = None,
) -> None:
    """Compute dense features of an image of any modality."""
    from ..devices import chosen
    from ..errors import MemoryBoundError, MemoryShortage
    from ..features.extract import extract_features
    from ..files import check_place
    from ..frugal import first_that_fits
    from ..images import Image, as_image, check_image_place, write_image

    refuse_overwriting([output, picture], images)
    check_image_place(output)
    if picture is not None:
        check_place(picture, (".png",))
    image, where = as_image(list(images)), chosen(device.value)

    def extracted(voxel: float | None, memory: float | None) -> FeatureVolume:
        bound = _room_gb(image, voxel) if memory is None and where.type == "cpu" else memory
        try:
            return extract_features(image, backend.value, weights, voxel, where, bound)
        except MemoryBoundError as error:
            if memory is not None:
                raise
            raise MemoryShortage(str(error)) from error

    attempts = [("", partial(extracted, spacing, max_memory))]
    if max_memory is None and backend is not Features.mind:
        attempts.append(("in small tiles", partial(extracted, spacing, _LITTLE_GB)))
    if spacing is None:
        coarser = [factor * min(image.grid.spacing) for factor in (2, 4)]
        attempts += [(f"on voxels of {mm:.3g} mm", partial(extracted, mm, max_memory)) for mm in coarser]
    volume = first_that_fits(attempts, say)
    tell(
        " + ".join(f"{count} {name}" for name, count in volume.parts)
        + f" features on {volume.grid.size} voxels"
    )
    write_image(Image(volume.data.cpu(), volume.grid), output)
    say(f"Wrote {output}")
    if picture is not None:
        _write_picture(volume, picture)
        say(f"Wrote {picture}")


def _room_gb(image: Image, voxel: float | None) -> float | None:
    """What is left beside the scan in isotropic voxels and what a network may be shown of it."""
    from ..features.extract import isotropic
    from ..features.mind import CHANNELS
    from ..frugal import free_gb

    free = free_gb()
    if free is None:
        return None
    voxels = isotropic(image.grid, voxel).voxels
    return max(0.0, _SHARE * free - 4e-9 * voxels * (CHANNELS + image.channels))


def _write_picture(volume: FeatureVolume, path: Path) -> None:
    import matplotlib.image
    import numpy as np

    from ..features.pca import features_to_rgb
    from ..files import replacing

    colours = features_to_rgb([volume.data])[0].cpu()
    planes = [_upright(colours, axis) for axis in range(3)]
    height = max(plane.shape[0] for plane in planes)
    padded = [np.pad(p, ((0, height - p.shape[0]), (0, 4), (0, 0))) for p in planes]
    with replacing(path) as beside:
        matplotlib.image.imsave(beside, np.concatenate(padded, axis=1), format="png")


def _upright(colours: torch.Tensor, axis: int) -> np.ndarray:
    """The middle plane across an axis of (3, D, H, W), with k upwards, as (rows, columns, 3)."""
    plane = colours.select(axis + 1, colours.shape[axis + 1] // 2)
    return (plane if axis == 0 else plane.flip(1)).permute(1, 2, 0).numpy()
