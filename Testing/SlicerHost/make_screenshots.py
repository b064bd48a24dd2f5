"""Takes the pictures in `Screenshots/`: panels beside slice views, after real work on the sample head.

python Testing/SlicerHost/make_screenshots.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

import slicerhost  # noqa: E402

PANEL_WIDTH, VIEW_SIZE, GAP = 440, (400, 300), 4


def main(folder: Path) -> None:
    host = slicerhost.boot()
    import SampleData

    host.load(ROOT / "SynthFoundation" / "SynthFoundation.py")
    host.finish_startup()
    host.show_views(VIEW_SIZE)
    host.show_main_window()
    fixed, moving = SampleData.downloadSamples("SynthHeadPair")
    widget = host.open("SynthFoundation")
    folder.mkdir(exist_ok=True)
    register(host, widget, fixed, moving, folder)
    segment(host, widget, fixed, folder)
    model(host, widget, fixed, folder)
    if host.errors:
        raise SystemExit("".join(host.errors))


def register(host: slicerhost.Host, widget: object, fixed: object, moving: object, folder: Path) -> None:
    panel = widget.register_panel
    panel.parameters.fixed, panel.parameters.moving = fixed, moving
    panel.ui.registerButton.click()
    host.wait(lambda: panel.ui.pictureLabel.visible or not panel.busy, 1800, "the first picture")
    save(host, widget, folder / "running.png")
    host.wait(lambda: not panel.busy, 1800, "the registration")
    save(host, widget, folder / "register.png")


def segment(host: slicerhost.Host, widget: object, volume: object, folder: Path) -> None:
    """Paint the brightest tissue in a ball on three slices, and update."""
    import numpy as np
    import slicer

    widget.ui.tabs.setCurrentIndex(1)
    slicer.util.setSliceViewerLayers(background=volume, foreground=None, fit=True)
    panel = widget.segment_panel
    panel.parameters.volume = volume
    host.application.processEvents()
    array = slicer.util.arrayFromVolume(volume)
    structure = inner_structure(array)
    middle = int(np.argwhere(structure).mean(axis=0)[0])
    drawn = np.zeros(array.shape, np.uint8)
    for k in (middle - 8, middle, middle + 8):
        drawn[k] = structure[k]
    segmentation = panel.parameters.segmentation
    name = segmentation.GetSegmentation().GetNthSegmentID(0)
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, segmentation, name, volume)
    panel.controls.ui.updateButton.click()
    host.wait(lambda: not panel.controls.busy, 1800, "the segmentation")
    panel.parameters.showConfidence = True
    host.application.processEvents()
    save(host, widget, folder / "segment.png")
    panel.parameters.showConfidence = False


def inner_structure(array: object) -> object:
    """The darkest large connected part inside the head: what a user might want to segment."""
    import numpy as np
    from scipy import ndimage

    inside = ndimage.binary_erosion(ndimage.binary_fill_holes(array > array.mean() / 2), iterations=8)
    dark = ndimage.binary_opening(inside & (array < np.percentile(array[inside], 15)), iterations=1)
    parts, count = ndimage.label(dark)
    sizes = ndimage.sum_labels(dark, parts, range(1, count + 1))
    return parts == 1 + int(np.argmax(sizes))


def model(host: slicerhost.Host, widget: object, volume: object, folder: Path) -> None:
    import slicer

    widget.ui.tabs.setCurrentIndex(2)
    slicer.util.setSliceViewerLayers(background=volume, foreground=None, fit=True)
    panel = widget.model_panel
    for button in panel.widget.findChildren(type(widget.register_panel.ui.registerButton)):
        if "test" in button.objectName.lower():
            button.click()
    host.wait(lambda: not panel.busy, 1800, "the test of the installation")
    save(host, widget, folder / "model.png")


def save(host: slicerhost.Host, widget: object, path: Path) -> None:
    """The panel on the left, the three views below each other on the right."""
    import qt
    import slicer

    panel = widget.parent
    panel.show()
    views = [slicer.app.layoutManager().sliceWidget(name).picture() for name in ("Red", "Yellow", "Green")]
    height = max(panel.sizeHint.height(), len(views) * (VIEW_SIZE[1] + GAP) - GAP)
    for _ in range(3):  # layouts settle in rounds
        panel.resize(PANEL_WIDTH, height)
        slicer.app.processEvents()
    canvas = qt.QImage(PANEL_WIDTH + GAP + VIEW_SIZE[0], panel.height, qt.QImage.Format_RGB888)
    canvas.fill(qt.QColor("#23232f"))
    painter = qt.QPainter(canvas)
    painter.drawPixmap(0, 0, panel.grab())
    for row, rgb in enumerate(views):
        image = qt.QImage(rgb.tobytes(), *VIEW_SIZE, 3 * VIEW_SIZE[0], qt.QImage.Format_RGB888)
        painter.drawImage(PANEL_WIDTH + GAP, row * (VIEW_SIZE[1] + GAP), image)
    painter.end()
    canvas.save(str(path))


if __name__ == "__main__":
    main(ROOT / "Screenshots")
