"""Runs scripted Slicer modules, with their panels, without the Slicer application.

`slicer-core` from PyPI is Slicer's own scene, logics and slice views. PySide6 is Qt. This package adds what
lies between them in the application: PythonQt's manners, stand-ins of CTK's and Slicer's widgets,
`slicer.app`, and the loading of modules. `boot()` starts it; after that `import slicer, qt, ctk, vtk` work as
inside Slicer.
"""

from slicerhost.availability import why_not
from slicerhost.host import Host, boot

__all__ = ["Host", "boot", "why_not"]
