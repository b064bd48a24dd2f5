"""Takes the pictures in `Screenshots/`: panels beside slice views, after real work on the sample head.

python Testing/SlicerHost/make_screenshots.py [register] [segment] [model]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

import slicerhost  # noqa: E402

PANEL_WIDTH, VIEW_SIZE, BAR, GAP = 460, (420, 292), 16, 3
BARS = {"Red": "#f34a33", "Yellow": "#edd54c", "Green": "#6eb04b"}  # as Slicer paints them
LONG = 3600.0
DARK = 330  # T1 brightness: the sample's ventricles are below, tissue above


class Camera:
    """The module on the host, and where its pictures go."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, slicerhost.boot()
        folder.mkdir(exist_ok=True)
        self.host.load(ROOT / "SynthFoundation" / "SynthFoundation.py")
        self.host.finish_startup()
        self.host.show_views(VIEW_SIZE)
        self.host.show_main_window()
        self.widget = self.host.open("SynthFoundation")
        self.widget.parent.show()

    def wait(self, condition: Any, what: str) -> None:
        self.host.wait(condition, LONG, what)

    def save(self, name: str) -> None:
        """The panel on the left, the three views below each other on the right."""
        import qt
        import slicer

        panel = self.widget.parent
        views = len(BARS) * (VIEW_SIZE[1] + BAR + GAP) - GAP
        for _ in range(3):  # layouts settle in rounds
            panel.resize(PANEL_WIDTH, views)
            slicer.app.processEvents()
        module = self.widget
        labels = [module.register_panel.ui.messageLabel, module.model_panel.ui.modelMessageLabel]
        labels.append(module.segment_panel.controls.ui.segmentMessageLabel)
        if problems := [label.text for label in labels if label.text]:
            raise SystemExit(f"{name}: {problems}")
        if (panel.width, panel.height) != (PANEL_WIDTH, views):
            raise SystemExit(f"{name}: the panel needs {panel.width} × {panel.height} pixels")
        canvas = qt.QImage(PANEL_WIDTH + GAP + VIEW_SIZE[0], views, qt.QImage.Format_RGB888)
        canvas.fill(qt.QColor("#23232f"))
        painter = qt.QPainter(canvas)
        painter.drawPixmap(0, 0, panel.grab())
        for row, (view, colour) in enumerate(BARS.items()):
            top = row * (VIEW_SIZE[1] + BAR + GAP)
            painter.fillRect(PANEL_WIDTH + GAP, top, VIEW_SIZE[0], BAR, qt.QColor(colour))
            rgb = slicer.app.layoutManager().sliceWidget(view).picture()
            image = qt.QImage(rgb.tobytes(), *VIEW_SIZE, 3 * VIEW_SIZE[0], qt.QImage.Format_RGB888)
            painter.drawImage(PANEL_WIDTH + GAP, top + BAR, image)
        painter.end()
        canvas.save(str(self.folder / name))


def register(camera: Camera, fixed: Any, moving: Any) -> None:
    import slicer

    panel = camera.widget.register_panel
    panel.parameters.fixed, panel.parameters.moving = fixed, moving
    slicer.util.setSliceViewerLayers(background=fixed, foreground=moving, foregroundOpacity=0.5, fit=True)
    look_at(fixed, (-18.0, 8.0, 6.0))
    camera.save("register-start.png")
    shown = []
    show = panel._show_progress

    def note(stage: str, fraction: float, picture: str | None) -> None:
        shown.append(fraction)
        show(stage, fraction, picture)

    panel._show_progress = note
    panel.ui.registerButton.click()
    camera.wait(lambda: not panel.busy or (shown and shown[-1] > 0.3), "a picture of the deformation")
    camera.save("register-running.png")
    camera.wait(lambda: not panel.busy, "the registration")
    look_at(fixed, (-18.0, 8.0, 6.0))
    camera.save("register.png")


def correct(camera: Camera) -> None:
    """A pair of landmarks on the outer corner of an eye socket, and the checkerboard."""
    panel = camera.widget.register_panel
    chosen = panel.parameters
    panel.ui.landmarkButton.click()
    place = (-18.0, 8.0, 6.0)
    chosen.fixedLandmarks.AddControlPointWorld(*place)
    chosen.movingLandmarks.AddControlPointWorld(place[0] + 1.5, place[1] + 1.0, place[2])
    camera.wait(lambda: panel.busy, "the update")
    camera.wait(lambda: not panel.busy, "the update")
    chosen.checkerboard = True
    camera.wait(lambda: panel._board.shown, "the checkerboard")
    camera.save("register-correct.png")
    chosen.checkerboard = False
    camera.wait(lambda: not panel._board.shown, "the blend")


def segment(camera: Camera, volume: Any, other: Any) -> None:
    """Paint the ventricles on three slices, update, and apply that to the other scan."""
    import numpy as np
    import slicer

    camera.widget.ui.tabs.setCurrentIndex(1)
    slicer.util.setSliceViewerLayers(background=volume, foreground=None, fit=True)
    panel = camera.widget.segment_panel
    panel.parameters.volume = volume
    camera.host.application.processEvents()
    structure = ventricles(slicer.util.arrayFromVolume(volume))
    held = np.flatnonzero(structure.any((1, 2)))
    slices = [int(held[int(share * (len(held) - 1))]) for share in (0.25, 0.5, 0.75)]
    drawn = np.zeros(structure.shape, np.uint8)
    drawn[slices] = structure[slices]
    segmentation = panel.parameters.segmentation
    content = segmentation.GetSegmentation()
    name = content.GetNthSegmentID(0)
    content.GetSegment(name).SetName("Ventricles")
    panel.ui.segmentEditor.updateWidgetFromMRML()
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, segmentation, name, volume)
    centre = np.argwhere(structure & (np.arange(len(structure))[:, None, None] == slices[1])).mean(0)
    place = voxel_to_ras(volume, centre[::-1])
    look_at(volume, place)
    camera.save("segment-paint.png")
    panel.controls.ui.updateButton.click()
    camera.wait(lambda: not panel.controls.busy, "the segmentation")
    found = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name, volume) > 0
    print(f"Dice of the ventricles: {2 * (found & structure).sum() / (found.sum() + structure.sum()):.3f}")
    panel.parameters.showConfidence = True
    camera.host.application.processEvents()
    panel.controls.ui.nextSliceButton.click()
    camera.save("segment.png")
    panel.parameters.showConfidence = False
    panel.ui.transferSection.collapsed = False
    panel.parameters.target = other
    panel.ui.transferButton.click()
    camera.wait(lambda: not panel.controls.busy, "the other scan")
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        node.SetDisplayVisibility(node is not segmentation)
    other.SetAndObserveTransformNodeID(None)
    slicer.util.setSliceViewerLayers(background=other, foreground=None, fit=True)
    made = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[-1]
    labels = slicer.util.arrayFromSegmentBinaryLabelmap(made, name, other) > 0
    if labels.any():
        look_at(other, voxel_to_ras(other, np.argwhere(labels).mean(0)[::-1]))
    camera.save("segment-transfer.png")
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        node.SetDisplayVisibility(False)


def ventricles(array: Any) -> Any:
    """The two largest dark parts in the middle of the brain."""
    import numpy as np
    from scipy import ndimage

    middle = np.zeros(array.shape, bool)
    k, j, i = (n // 2 for n in array.shape)
    middle[k + 5 : k + 16, j - 24 : j + 34, i - 22 : i + 22] = True
    dark = ndimage.binary_opening(middle & (ndimage.gaussian_filter(array.astype(np.float32), 0.6) < DARK))
    parts, count = ndimage.label(dark)
    sizes = ndimage.sum_labels(dark, parts, range(1, count + 1))
    return np.isin(parts, 1 + np.argsort(sizes)[-2:])


def model(camera: Camera, volume: Any) -> None:
    camera.widget.ui.tabs.setCurrentIndex(2)
    panel = camera.widget.model_panel
    panel.ui.testButton.click()
    camera.wait(lambda: not panel.busy, "the test of the installation")
    panel.ui.featuresSection.collapsed = False
    panel.parameters.picturedVolume = volume
    panel.ui.pictureButton.click()
    camera.wait(lambda: not panel.busy, "the features as colours")
    look_at(volume, (-18.0, 8.0, 6.0))
    camera.save("model.png")


def voxel_to_ras(volume: Any, ijk: Any) -> list[float]:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return list(matrix.MultiplyPoint([*ijk, 1.0])[:3])


def look_at(volume: Any, place: Any) -> None:
    import slicer

    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.JumpSliceByOffsetting(*place)


def main(panels: list[str]) -> None:
    camera = Camera(ROOT / "Screenshots")
    from SynthFoundationModuleLib.sample_data import make_pair

    fixed, moving = make_pair()
    if "register" in panels:
        register(camera, fixed, moving)
        correct(camera)
    if "segment" in panels:
        segment(camera, fixed, moving)
    if "model" in panels:
        model(camera, fixed)
    if camera.host.errors:
        raise SystemExit("".join(camera.host.errors))


if __name__ == "__main__":
    main(sys.argv[1:] or ["register", "segment", "model"])
