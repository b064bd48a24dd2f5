import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with public scans (hippocampus_mr, headneck_ct, …); without it a test is skipped."""
    beside_the_project = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SYNTHFOUNDATION_DATA") or beside_the_project)
    if not folder.is_dir():
        pytest.skip("SYNTHFOUNDATION_DATA does not point to a folder of scans")
    return folder
