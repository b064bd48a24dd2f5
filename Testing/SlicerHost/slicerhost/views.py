"""Slice views without a window: Slicer's own slice logic and displayable managers, drawn into memory."""

from pathlib import Path

import qt
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLScalarBarDisplayableManager",
)


class SliceView:
    """Stand-in of `qMRMLSliceWidget`, its view and its controller in one: `picture` draws it."""

    def __init__(self, name: str, orientation: str, application_logic: object, size: tuple[int, int]) -> None:
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        application_logic.GetSliceLogics().AddItem(self._logic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.AddSliceNode(name)
        self.mrmlSliceNode().SetOrientation(orientation)
        self.mrmlSliceNode().SetLayoutLabel(name[0])
        self._size, self._application_logic, self._window = size, application_logic, None
        self._logic.ResizeSliceNode(*size)

    # as in Slicer

    def sliceLogic(self) -> object:
        return self._logic

    def mrmlSliceNode(self) -> object:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> object:
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> "SliceView":
        return self

    def sliceController(self) -> "SliceView":
        return self

    def renderWindow(self) -> object:
        return self._render_window()

    def setVisible(self, visible: bool) -> None:
        pass

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    def scheduleRender(self) -> None:
        pass

    def forceRender(self) -> None:
        self._render_window().Render()

    # drawing

    def _render_window(self) -> object:
        if self._window is None:
            self._window = _window(self._size)
            self._renderer = self._window.GetRenderers().GetFirstRenderer()
            self._interactor = vtk.vtkRenderWindowInteractor()
            self._interactor.SetRenderWindow(self._window)
            self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
            self._group = slicer.vtkMRMLDisplayableManagerGroup()
            self._group.SetRenderer(self._renderer)
            self._managers = [getattr(slicer, name)() for name in MANAGERS]
            for manager in self._managers:
                manager.SetMRMLApplicationLogic(self._application_logic)
                self._group.AddDisplayableManager(manager)
            self._group.SetMRMLDisplayableNode(self.mrmlSliceNode())
            self._mapper = _show_image(self._renderer)
        self._mapper.SetInputConnection(self._logic.GetImageDataConnection())
        return self._window

    def picture(self) -> object:
        """RGB image (rows, columns, 3), uint8, of what the view shows."""
        self._render_window().Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        image = grabber.GetOutput()
        columns, rows, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1, :, :3].copy()

    def close(self) -> None:
        if self._window is not None:
            self._group.SetMRMLDisplayableNode(None)
            for manager in self._managers:
                manager.SetMRMLApplicationLogic(None)
            self._window.Finalize()
        self._logic.SetMRMLScene(None)
        self._logic.SetMRMLApplicationLogic(None)


def _window(size: tuple[int, int]) -> object:
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetSize(*size)
    window.SetNumberOfLayers(2)
    for layer in range(2):
        renderer = vtk.vtkRenderer()
        renderer.SetLayer(layer)
        renderer.GetActiveCamera().ParallelProjectionOn()
        window.AddRenderer(renderer)
    return window


def _show_image(renderer: object) -> object:
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    renderer.AddViewProp(actor)
    return mapper


class LayoutManager(qt.QObject):
    """`slicer.app.layoutManager()` with the three slice views and no 3D view."""

    layoutChanged = qt.Signal(int)
    VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}  # noqa: RUF012 - Slicer's standard views

    def __init__(self, application_logic: object, size: tuple[int, int] = (320, 320)) -> None:
        super().__init__()
        self._views = {n: SliceView(n, o, application_logic, size) for n, o in self.VIEWS.items()}
        self._logics, self._layout = application_logic.GetSliceLogics(), 3

    threeDViewCount = tableViewCount = plotViewCount = 0

    def sliceViewNames(self) -> list[str]:
        return list(self._views)

    def sliceWidget(self, name: str) -> SliceView | None:
        return self._views.get(name)

    def mrmlSliceLogics(self) -> object:
        return self._logics

    def setLayout(self, layout: int) -> None:
        self._layout = layout
        self.layoutChanged.emit(layout)

    layout = qt.Property(int, lambda self: self._layout, setLayout)

    def resetSliceViews(self) -> None:
        for view in self._views.values():
            view.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        pass

    def save_picture(self, path: str | Path, spacing: int = 4) -> None:
        """The three slice views side by side as a PNG file."""
        pictures = [view.picture() for view in self._views.values()]
        height, width = pictures[0].shape[:2]
        canvas = qt.QImage(3 * width + 2 * spacing, height, qt.QImage.Format_RGB888)
        canvas.fill(qt.QColor("#c8c8d4"))
        painter = qt.QPainter(canvas)
        for column, rgb in enumerate(pictures):
            image = qt.QImage(rgb.tobytes(), width, height, 3 * width, qt.QImage.Format_RGB888)
            painter.drawImage(column * (width + spacing), 0, image)
        painter.end()
        canvas.save(str(path))

    def close(self) -> None:
        for view in self._views.values():
            view.close()
