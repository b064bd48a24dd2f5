import time

import numpy as np
import SimpleITK as sitk

from SynthFoundationLib.geometry.hdf5_times import forget_times, lookup3


def test_the_hash_is_that_of_its_author():
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


def test_files_of_two_moments_become_the_same_and_can_still_be_read(tmp_path):
    rng = np.random.default_rng(0)
    field = sitk.GetImageFromArray(rng.normal(size=(5, 6, 7, 3)), isVector=True)
    transform = sitk.CompositeTransform([sitk.AffineTransform(3), sitk.DisplacementFieldTransform(field)])
    paths = [tmp_path / "first.h5", tmp_path / "second.h5"]
    for path in paths:
        sitk.WriteTransform(transform, str(path))
        time.sleep(1.1)  # the times are whole seconds
    assert paths[0].read_bytes() != paths[1].read_bytes()
    for path in paths:
        forget_times(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    point = (1.0, 2.0, 3.0)
    assert sitk.ReadTransform(str(paths[0])).TransformPoint(point) == transform.TransformPoint(point)


def test_data_that_only_look_like_a_header_are_left(tmp_path):
    path = tmp_path / "data.h5"
    for flags in range(256):
        content = b"OHDR\x02" + bytes([flags]) + bytes(range(1, 200)) + b"OHDR\x02" + bytes([flags])
        path.write_bytes(content)
        forget_times(path)
        assert path.read_bytes() == content
