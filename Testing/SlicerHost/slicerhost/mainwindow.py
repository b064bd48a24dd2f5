"""A main window, for what modules do only when there is one."""

import qt
import slicer


class ModuleSelector(qt.QObject):
    moduleSelected = qt.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.selectedModule = ""

    def selectModule(self, name: str) -> None:
        """Leave the selected module and enter another, as a click in the list of modules does."""
        manager = slicer.app.moduleManager()
        if self.selectedModule and manager.isLoaded(self.selectedModule):
            manager.module(self.selectedModule).widgetRepresentation().exit()
        self.selectedModule = name
        if manager.isLoaded(name):
            manager.module(name).widgetRepresentation().enter()
        self.moduleSelected.emit(name)


class MainWindow(qt.QMainWindow):
    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = ModuleSelector()

    def moduleSelector(self) -> ModuleSelector:
        return self._selector
