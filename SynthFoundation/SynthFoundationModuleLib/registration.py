"""Registering two volumes of the scene: what is asked of the worker, and what becomes of its answer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .errors import UserError
from .geometry import chain, coarser, matrix_of, matrix_of_grid, vtk_matrix
from .process import OnError, OnResult, Progress, Worker, WorkerError
from .scans import attach_points, fingerprint, from_world, landmark_pairs, mask_on, scan_of, to_world, voxels
from .transforms import initial_matrix, place_result

_REPORT = "SynthFoundation.Report"  # attribute of the forward transform: verdict and numbers
_names = itertools.count(1)


@dataclass
class Inputs:
    """What to register and how; nodes of the scene and the library's words."""

    fixed: Any
    moving: Any
    transform: str = "deformable"
    preset: str = "default"
    features: str = "auto"
    weights: str | None = None
    device: str = "auto"
    seed: int = 0
    initial: Any = None
    fixed_mask: Any = None
    moving_mask: Any = None
    fixed_landmarks: Any = None
    moving_landmarks: Any = None
    stiffness: float = 1.0

    def check(self) -> None:
        """Raise UserError where something is missing or impossible."""
        for node, what in ((self.fixed, _("a fixed volume")), (self.moving, _("a moving volume"))):
            if node is None or node.GetScene() is None:
                raise UserError(_("Choose {what} first.").format(what=what))
        if self.fixed is self.moving:
            raise UserError(_("Fixed and moving are the same volume; choose two."))

    def identity(self) -> tuple:
        """What a session in the worker is made for: when it changes, a new one is needed."""
        initial = tuple(map(tuple, initial_matrix(self.initial))) if self.initial else None
        how = (self.transform, self.preset, self.features, self.weights, self.device, self.seed, initial)
        roles = ((self.fixed, "fixed"), (self.moving, "moving"))
        return (*[(node.GetID(), fingerprint(node, role)) for node, role in roles], how)

    def guidance(self) -> dict[str, Any]:
        """What the user adds to a session: landmarks, masks, stiffness."""
        pairs = landmark_pairs(self.fixed_landmarks, self.moving_landmarks, self.moving)
        masks = ((self.fixed_mask, self.fixed, "fixed"), (self.moving_mask, self.moving, "moving"))
        drawn = [
            mask_on(mask, scan_of(volume, role), volume, role) if mask else None
            for mask, volume, role in masks
        ]
        return {
            "fixed_mask": drawn[0],
            "moving_mask": drawn[1],
            "fixed_landmarks": pairs[0] if pairs else None,
            "moving_landmarks": pairs[1] if pairs else None,
            "stiffness": float(self.stiffness),
        }


@dataclass
class Registered:
    """What came of it: transform nodes in the scene, the verdict and the numbers of the report."""

    forward: Any
    inverse: Any
    verdict: str
    reasons: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


class RegistrationSession:
    """A registration at work or finished; finished ones are updated from what the worker has kept."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._name = ""
        self._known: tuple | None = None  # (generation of the worker, identity of the inputs)
        self._request: int | None = None
        self._inputs: Inputs | None = None

    @property
    def busy(self) -> bool:
        """Whether it waits for the worker."""
        return self._request is not None

    @property
    def kept(self) -> bool:
        """Whether the worker should still have the last result."""
        return self._known is not None and self._known[0] == self._worker.generation > 0

    @property
    def nodes(self) -> list[Any]:
        """The volumes of the request under way."""
        return [self._inputs.fixed, self._inputs.moving] if self._inputs else []

    def can_update(self, inputs: Inputs) -> bool:
        """Whether the worker still has what an update of these inputs needs."""
        return self.kept and self._known == (self._worker.generation, inputs.identity())

    def start(
        self, inputs: Inputs, on_result: OnResult, on_error: OnError, on_progress: Progress | None = None
    ) -> None:
        """Ask for a result: an update where that is possible, else all stages.

        Raises:
            UserError: the inputs cannot be used.
        """
        inputs.check()
        attach_points(inputs.moving_landmarks, inputs.moving)
        guidance = inputs.guidance()
        method, params = self._question(inputs)
        self._inputs = inputs

        def failed(error: WorkerError) -> None:
            self._request = None
            updated, self._known = method == "update_registration", None
            if updated and error.missing:  # the worker forgot the session to save memory
                self.start(inputs, on_result, on_error, on_progress)
            else:
                on_error(error)

        def done(result: dict[str, Any]) -> None:
            self._request = None
            on_result(result)

        self._request = self._worker.ask(method, params | guidance, done, failed, on_progress)

    def cancel(self) -> None:
        """Stop the request under way."""
        if self._request is not None:
            self._worker.cancel(self._request)

    def close(self) -> None:
        """Stop, and let the worker forget the session."""
        self.cancel()
        if self._known and self._known[0] == self._worker.generation:
            self._worker.tell("close_registration", {"session": self._name})
        self._known = None

    def ask(self, method: str, params: dict[str, Any], on_result: OnResult, on_error: OnError) -> None:
        """Ask something else about the finished registration."""
        self._worker.ask(method, {"session": self._name} | params, on_result, on_error)

    def _question(self, inputs: Inputs) -> tuple[str, dict[str, Any]]:
        if self.can_update(inputs):
            return "update_registration", {"session": self._name}
        self.close()
        self._worker.start()
        fixed, moving = (
            self._worker.volume(inputs.fixed, "fixed"),
            self._worker.volume(inputs.moving, "moving"),
        )
        self._name = f"registration-{next(_names)}"
        self._known = (self._worker.generation, inputs.identity())
        return "register", {
            "session": self._name,
            "fixed": fixed,
            "moving": moving,
            "transform": inputs.transform,
            "preset": inputs.preset,
            "features": inputs.features,
            "weights": inputs.weights,
            "device": inputs.device,
            "seed": inputs.seed,
            "initial": initial_matrix(inputs.initial) if inputs.initial else None,
        }


def put_in_scene(
    inputs: Inputs, result: dict[str, Any], forward: Any = None, inverse: Any = None
) -> Registered:
    """Put the transforms of an answer into the scene, into these nodes where they are given.

    Landmarks and a mask that lie where the moving volume lies belong to its image and move along.
    """
    parent = inputs.moving.GetParentTransformNode()
    drawn = [node for node in (inputs.moving_landmarks, inputs.moving_mask) if node is not None]
    along = [node for node in drawn if node.GetParentTransformNode() is parent]
    forward, inverse = place_result(result, inputs.fixed, inputs.moving, forward, inverse)
    for node in along:
        node.SetAndObserveTransformNodeID(forward.GetID())
    told = {
        "verdict": result["verdict"],
        "reasons": list(result.get("reasons", [])),
        "numbers": dict(result.get("numbers", {})),
        "seconds": float(result.get("seconds") or 0.0),
    }
    forward.SetAttribute(_REPORT, json.dumps(told))
    return Registered(forward, inverse, **told)


def known_result(forward: Any, inverse: Any) -> Registered | None:
    """The result that these nodes hold since an earlier session, as saved with the scene."""
    told = forward.GetAttribute(_REPORT) if forward is not None and inverse is not None else None
    return Registered(forward, inverse, **json.loads(told)) if told else None


def resampled(moving: Any, fixed: Any) -> np.ndarray:
    """The moving volume, as it is displayed, on the voxels (k, j, i) of the fixed one."""
    return np.concatenate([*resampled_slabs(moving, fixed, fixed.GetImageData().GetDimensions()[2])])


def resampled_slabs(moving: Any, fixed: Any, thickness: int, step: int = 1) -> Iterator[np.ndarray]:
    """`resampled`, as the volumes and transforms are when it begins, so many slices k at a time.

    On every `step`-th voxel along each axis.
    """
    to_voxels = vtk.vtkTransform()
    to_voxels.SetMatrix(vtk_matrix(np.linalg.inv(matrix_of(moving))))
    from_voxels = vtk.vtkTransform()
    from_voxels.SetMatrix(vtk_matrix(coarser(matrix_of(fixed), step)))
    parents = to_world(fixed.GetParentTransformNode()), from_world(moving.GetParentTransformNode())
    image = vtk.vtkImageData()
    image.ShallowCopy(moving.GetImageData())
    image.SetOrigin(0, 0, 0)
    image.SetSpacing(1, 1, 1)
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(image)
    reslice.SetResliceTransform(chain([from_voxels, *parents, to_voxels]))
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetInterpolationModeToLinear()
    reslice.SetBackgroundLevel(image.GetScalarRange()[0])
    width, height, depth = (-(-n // step) for n in fixed.GetImageData().GetDimensions())
    for first in range(0, depth, thickness):
        reslice.SetOutputExtent(0, width - 1, 0, height - 1, first, min(first + thickness, depth) - 1)
        reslice.UpdateWholeExtent()
        yield np.array(voxels(reslice.GetOutput()))


def moved_volume(fixed: Any, moving: Any) -> Any:
    """The moving volume resampled on the voxels of the fixed one: a new node."""
    name = slicer.mrmlScene.GenerateUniqueName(_("{moving} moved").format(moving=moving.GetName()))
    moved = slicer.util.addVolumeFromArray(resampled(moving, fixed), vtk_matrix(matrix_of(fixed)), name)
    moved.SetAndObserveTransformNodeID(fixed.GetTransformNodeID())
    return moved


def map_volume(answer: dict[str, Any], name: str) -> Any:
    """A map that came with its grid as a volume: a new node."""
    array = np.asarray(answer["array"], np.float32)
    name = slicer.mrmlScene.GenerateUniqueName(name)
    return slicer.util.addVolumeFromArray(array, vtk_matrix(matrix_of_grid(answer["grid"])), name)
