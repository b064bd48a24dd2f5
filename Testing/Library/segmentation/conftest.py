import sys
from pathlib import Path

import pytest

from SynthFoundationLib.segmentation import FewShotSession

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def scan():
    from ellipsoids import scene

    return scene()


@pytest.fixture
def session(scan):
    from ellipsoids import GRID

    return FewShotSession((scan[0], GRID))
