import shutil

import file_lists
import pytest


def test_the_list_of_files_is_up_to_date():
    listed = file_lists.LISTS.read_text(encoding="utf-8")
    assert listed == file_lists.text(), "run: python Testing/Packaging/file_lists.py"


def test_the_project_configures(source, configure):
    process, _ = configure(source)
    assert process.returncode == 0, process.stderr
    assert "unittest SynthFoundation.py" in process.stdout


@pytest.fixture
def copy(source, tmp_path):
    return shutil.copytree(source, tmp_path / "copy")


def test_an_unlisted_file_is_found(copy, configure):
    (copy / "SynthFoundation" / "Resources" / "left_out.txt").write_text("")
    process, _ = configure(copy)
    assert process.returncode != 0
    assert "left_out.txt is not listed" in " ".join(process.stderr.split())


def test_a_missing_file_is_found(copy, configure):
    (copy / "SynthFoundationLib" / "errors.py").unlink()
    process, _ = configure(copy)
    assert process.returncode != 0
    assert "SynthFoundationLib/errors.py is listed but does not exist" in " ".join(process.stderr.split())


def test_empty_metadata_are_found(copy, configure):
    text = (copy / "CMakeLists.txt").read_text()
    start = text.index("set(EXTENSION_DESCRIPTION")
    end = text.index("\n", start)
    (copy / "CMakeLists.txt").write_text(text[:start] + text[end:])
    process, _ = configure(copy)
    assert process.returncode != 0
    assert "EXTENSION_DESCRIPTION is empty" in process.stderr


def test_everything_is_installed(source, installed):
    for folder in (file_lists.LIBRARY, *file_lists.modules()):
        base = source if folder == file_lists.LIBRARY else source / folder
        for path in file_lists.files(folder):
            copied = installed / (source / path).relative_to(base)
            assert copied.read_bytes() == (source / path).read_bytes()
