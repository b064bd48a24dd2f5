"""What the panels remember in the scene, and what they remember on this machine."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Union

import qt
from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLLinearTransformNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTransformNode,
)
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


class TransformType(enum.Enum):
    """How far the transform may go; the values are the library's words."""

    DEFORMABLE = "deformable"
    AFFINE = "affine"
    RIGID = "rigid"

    def label(self) -> str:
        """The name shown to the user."""
        return {
            "deformable": _("Deformable"),
            "affine": _("Affine (also stretch and shear)"),
            "rigid": _("Rigid (turn and shift)"),
        }[self.value]


class Preset(enum.Enum):
    """How much time to take; the values are the library's words."""

    DEFAULT = "default"
    FAST = "fast"
    ACCURATE = "accurate"

    def label(self) -> str:
        """The name shown to the user."""
        return {"default": _("Balanced"), "fast": _("Fast"), "accurate": _("Accurate")}[self.value]


class Device(enum.Enum):
    """Where to compute; the values are the library's words."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    def label(self) -> str:
        """The name shown to the user."""
        return {
            "auto": _("Automatic"),
            "cpu": _("Processor"),
            "cuda": _("NVIDIA graphics card"),
            "mps": _("Apple graphics"),
        }[self.value]


# Slicer's connectors know `Union`, not `|`.
_Region = Union[vtkMRMLMarkupsROINode, vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
_Labels = Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007


@parameterNodeWrapper
class SynthFoundationParameterNode:
    """All choices that are saved with the scene."""

    fixed: vtkMRMLScalarVolumeNode
    moving: vtkMRMLScalarVolumeNode
    blend: Annotated[float, WithinRange(0, 100)] = 50
    checkerboard: bool = False
    fixedLandmarks: vtkMRMLMarkupsFiducialNode
    movingLandmarks: vtkMRMLMarkupsFiducialNode
    fixedMask: _Region
    movingMask: _Region
    stiffness: Annotated[float, WithinRange(-3, 3)] = 0
    autoUpdate: bool = True
    transformType: TransformType = TransformType.DEFORMABLE
    preset: Preset = Preset.DEFAULT
    initialTransform: vtkMRMLLinearTransformNode
    makeMoved: bool = False
    labelsToCarry: _Labels
    pointsToCarry: vtkMRMLMarkupsFiducialNode
    makeJacobian: bool = False
    makeConfidence: bool = False
    forward: vtkMRMLTransformNode
    inverse: vtkMRMLTransformNode

    volume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    liveUpdate: bool = False
    showConfidence: bool = False
    target: vtkMRMLScalarVolumeNode

    picturedVolume: vtkMRMLScalarVolumeNode


class MachineSettings:
    """Choices that belong to this computer, kept in Slicer's settings."""

    _PREFIX = "SynthFoundation/"

    @property
    def device(self) -> Device:
        """Where to compute."""
        value = self._get("Device", Device.AUTO.value)
        return Device(value) if value in [device.value for device in Device] else Device.AUTO

    @device.setter
    def device(self, device: Device) -> None:
        self._set("Device", device.value)

    @property
    def weights(self) -> str:
        """A file of weights; empty for those that come with the extension."""
        return self._get("Weights", "")

    @weights.setter
    def weights(self, path: str) -> None:
        self._set("Weights", path)

    @property
    def waiting_for_restart(self) -> bool:
        """Whether an installation goes on once Slicer has started again."""
        return self._get("WaitingForRestart", "") == "yes"

    @waiting_for_restart.setter
    def waiting_for_restart(self, waiting: bool) -> None:
        self._set("WaitingForRestart", "yes" if waiting else "")

    def network(self) -> dict[str, Any]:
        """The part of a request that says what to compute with."""
        return {"weights": self.weights or None, "features": "auto", "device": self.device.value}

    def _get(self, key: str, default: str) -> str:
        return str(qt.QSettings().value(self._PREFIX + key, default) or default)

    def _set(self, key: str, value: str) -> None:
        qt.QSettings().setValue(self._PREFIX + key, value)
