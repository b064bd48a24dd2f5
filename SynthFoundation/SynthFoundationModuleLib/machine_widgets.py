"""The choice of device and weights, which several panels show and this computer remembers."""

from __future__ import annotations

from typing import Any

from .parameters import Device, MachineSettings


class MachineWidgets:
    """Binds a combo box and a path to Slicer's settings."""

    def __init__(self, device_box: Any, weights_path: Any) -> None:
        self.settings = MachineSettings()
        self._box, self._path = device_box, weights_path
        for device in Device:
            device_box.addItem(device.label(), device.value)
        self.refresh()
        device_box.connect("currentIndexChanged(int)", self._on_device)
        weights_path.connect("currentPathChanged(QString)", self._on_weights)

    def refresh(self) -> None:
        """Show what is remembered; another panel may have changed it."""
        index = list(Device).index(self.settings.device)
        if self._box.currentIndex != index:
            self._box.currentIndex = index
        if self._path.currentPath != self.settings.weights:
            self._path.currentPath = self.settings.weights

    def _on_device(self, index: int) -> None:
        self.settings.device = list(Device)[index]

    def _on_weights(self, path: str) -> None:
        self.settings.weights = path
