"""Registration from end to end by one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..features.extract import Backend
from ..features.weights import Weights
from ..geometry import Transform
from ..images import Image, ImageLike, LabelsLike
from ..points import PointsLike
from .course import OnState, Progress
from .result import Registration
from .session import RegistrationSession, TransformKind
from .settings import Settings


def register(
    fixed: ImageLike | Sequence[ImageLike],
    moving: ImageLike | Sequence[ImageLike],
    *,
    transform: TransformKind = "deformable",
    preset: str = "default",
    settings: Settings | None = None,
    fixed_mask: LabelsLike | Image | None = None,
    moving_mask: LabelsLike | Image | None = None,
    fixed_landmarks: PointsLike | None = None,
    moving_landmarks: PointsLike | None = None,
    stiffness: float = 1.0,
    initial_transform: Transform | str | Path | None = None,
    features: Backend = "auto",
    weights: str | Path | Weights | None = None,
    symmetric: bool = False,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    on_state: OnState | None = None,
) -> Registration:
    """Align the moving image to the fixed one, whatever their modality, orientation and field of view.

    Args:
        fixed: path, SimpleITK image, (array, Grid) pair or `Image`; a list of these is several contrasts of
            one person, the same ones in the same order on both sides.
        moving: the image to align to it, given likewise.
        transform: how far the transform may go.
        preset: `fast`, `default` or `accurate`.
        settings: every parameter, in place of a preset.
        fixed_mask: where to look in the fixed image (non-zero voxels).
        moving_mask: where to look in the moving image.
        fixed_landmarks: places in the fixed image that draw the result softly.
        moving_landmarks: the same places in the moving image.
        stiffness: scales how smooth the deformation is kept; 1 is the preset's own.
        initial_transform: fixed → moving, LPS mm; takes the place of the automatic start.
        features: what the images are compared by: "mind", "learned" or "learned+mind", see
            `features.extract.compute_features`; "auto" is MIND, and with it the network if weights are given.
        weights: id or file of the pretrained network.
        symmetric: whether exchanging the images gives the inverse; takes twice the time.
        device: "auto", "cpu", "cuda", "mps".
        seed: seeds every random number; the same seed gives the same result.
        progress: called several times a second with the stage's name and the fraction of all work that is
            done; an exception that it raises, such as `Cancelled`, ends the work at once.
        on_state: called after each stage with its name and the transform so far.

    Raises:
        InputError: an image, mask, landmark, transform or option cannot be used.
        WeightsError: the weights cannot be used.
        DeviceError: the device is not there.
    """
    session = RegistrationSession(
        fixed,
        moving,
        transform=transform,
        preset=preset,
        settings=settings,
        initial_transform=initial_transform,
        features=features,
        weights=weights,
        symmetric=symmetric,
        device=device,
        seed=seed,
    )
    return session.run(
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        fixed_landmarks=fixed_landmarks,
        moving_landmarks=moving_landmarks,
        stiffness=stiffness,
        progress=progress,
        on_state=on_state,
    )
