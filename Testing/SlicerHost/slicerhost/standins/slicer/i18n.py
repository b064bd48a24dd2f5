"""Translation of texts: the context is the file's name, after its package's where it has one."""

import inspect
import string
from pathlib import Path

from slicer import app


def translate(context: str, text: str) -> str:
    return app.translate(context, text)


def getContext(sourceFile: str) -> str:
    path = Path(sourceFile)
    in_package = (path.parent / "__init__.py").is_file()
    return f"{path.parent.name}.{path.stem}" if in_package else path.stem


def tr(text: str) -> str:
    frame = inspect.currentframe().f_back
    translated = translate(getContext(frame.f_code.co_filename), text)
    return translated if _fields(translated) == _fields(text) else text


def _fields(text: str) -> set[str | None]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}
