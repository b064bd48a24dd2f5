import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from slicerhost.fixtures import host, pytest_pycollect_makemodule

__all__ = ["host", "pytest_pycollect_makemodule"]
