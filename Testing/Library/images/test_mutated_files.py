"""Files with random bytes changed, deleted and inserted: read as a finite volume, or refused in one line."""

import random

import numpy as np
import pytest
import SimpleITK as sitk

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.images import read_image, read_labels

KINDS = [("nii", False), ("nii.gz", True), ("nrrd", False), ("nrrd", True), ("mha", False), ("mha", True)]
KINDS += [("mhd", False), ("nhdr", False)]
HEADER = 400  # bytes in which most changes are made


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    volume = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 100, (10, 11, 12)).astype(np.int16))
    contents = []
    for suffix, compressed in KINDS:
        path = folder / f"scan.{suffix}"
        sitk.WriteImage(volume, str(path), compressed)
        contents.append((suffix, path.read_bytes()))
    return contents


def mutated(content, rng):
    changed = bytearray(content)
    reach = HEADER if rng.random() < 0.8 else len(content)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(max(1, min(reach, len(changed))))
        what = rng.random()
        if what < 0.6:
            changed[place : place + 1] = rng.randbytes(1)
        elif what < 0.8:
            del changed[place : place + rng.randint(1, 20)]
        else:
            changed[place:place] = rng.randbytes(rng.randint(1, 8))
    return bytes(changed)


def outcome(reader, path):
    try:
        return reader(path), ""
    except InputError as refusal:
        return None, str(refusal)


@pytest.mark.parametrize("count", [160, pytest.param(4000, marks=pytest.mark.slow)])
def test_no_mutated_file_crashes_a_reader(originals, tmp_path, count):
    rng, read = random.Random(count), 0
    for n in range(count):
        suffix, content = originals[n % len(originals)]
        path = tmp_path / f"scan.{suffix}"
        path.write_bytes(mutated(content, rng))
        for reader in (read_image, read_labels):
            volume, refusal = outcome(reader, path)
            if volume is None:
                assert "\n" not in refusal
                assert str(tmp_path) not in refusal
            else:
                assert np.isfinite(volume.data.numpy()).all()
                read += 1
    print(f"{count} mutated files through 2 readers: {read} reads, {2 * count - read} refusals")
    assert 0 < read < 2 * count
