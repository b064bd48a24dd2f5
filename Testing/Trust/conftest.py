import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside the tests


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder with the files of `bad_files`, which no test may change."""
    from bad_files import make_files

    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    return folder
