"""Draws the extension's icon, `SynthFoundation.png`, from the module's icon. Needs PySide6.

python Testing/Packaging/make_icon.py
"""

import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtGui, QtSvg

ROOT = Path(__file__).parents[2]
SIZE = 128


def main() -> None:
    app = QtGui.QGuiApplication([])
    image = QtGui.QImage(SIZE, SIZE, QtGui.QImage.Format_ARGB32)
    image.fill(0)
    painter = QtGui.QPainter(image)
    source = ROOT / "SynthFoundation" / "Resources" / "Icons" / "SynthFoundation.svg"
    QtSvg.QSvgRenderer(str(source)).render(painter)
    painter.end()
    image.save(str(ROOT / "SynthFoundation.png"))
    app.quit()


if __name__ == "__main__":
    main()
