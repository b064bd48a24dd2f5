import signal

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image, as_image, from_sitk, read_image, to_sitk, write_image

GRID = Grid((9, 8, 7), (0.7, 1.5, 3.0), (-20.0, 5.5, 130.0), (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))


def noise(channels=1, grid=GRID):
    return Image(torch.randn(channels, *grid.shape, generator=torch.Generator().manual_seed(0)), grid)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha"])
def test_what_is_written_is_read_back(tmp_path, name):
    image = noise()
    write_image(image, tmp_path / name)
    again = read_image(tmp_path / name)
    torch.testing.assert_close(again.data, image.data, rtol=0, atol=0)
    assert again.grid.same_space(image.grid, 1e-4)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_channels_become_vector_components(tmp_path):
    image = noise(3)
    write_image(image, tmp_path / "features.nrrd")
    read = sitk.ReadImage(str(tmp_path / "features.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read)[..., 2], image.data[2].numpy())


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "scan.nii.gz").write_bytes(b"old result")
    broken = Image(torch.zeros(200, 2, 2, 2), Grid((2, 2, 2)))
    object.__setattr__(broken, "data", torch.zeros(0, 2, 2, 2))
    with pytest.raises(Exception, match=r".+"):
        write_image(broken, tmp_path / "scan.nii.gz")
    assert (tmp_path / "scan.nii.gz").read_bytes() == b"old result"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["scan.png", "scan", "scan.mhd", "missing/scan.nii.gz"])
def test_other_file_types_and_missing_folders_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot write"):
        write_image(noise(), tmp_path / name)


@pytest.mark.parametrize("name", ["scan.NII.GZ", "scan.NRRD", "scan.MHA", "a.hdr.nii.gz", "a.img.nii"])
def test_capitals_and_names_of_pairs_are_written_and_read_as_any_other(tmp_path, name):
    write_image(noise(), tmp_path / name)
    torch.testing.assert_close(read_image(tmp_path / name).data, noise().data, rtol=0, atol=0)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["scan.Nii.Gz", "scan.nii.GZ", "scan.seg.nrrd", "SCAN.SEG.NRRD"])
def test_names_that_nobody_could_read_as_an_image_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}[: ]"):
        write_image(noise(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_paths_sitk_images_arrays_and_images_mean_the_same(tmp_path):
    image = noise()
    write_image(image, tmp_path / "scan.nrrd")
    for source in (
        tmp_path / "scan.nrrd",
        str(tmp_path / "scan.nrrd"),
        to_sitk(image),
        (image.data[0].numpy(), GRID),
        (image.data, GRID),
        image,
    ):
        same = as_image(source)
        torch.testing.assert_close(same.data, image.data, rtol=0, atol=0)
        assert same.grid.same_space(GRID)


def test_contrasts_on_other_grids_are_brought_to_the_first(tmp_path):
    # a linear ramp in physical space is resampled exactly, whatever the grids
    other = Grid((20, 22, 26), (1.0, 1.0, 1.0), (-25.0, 0.0, 125.0))
    ramp = (GRID.to_physical(np.indices(GRID.shape)[::-1].reshape(3, -1).T) @ (1, 2, 3)).reshape(GRID.shape)
    wide = (other.to_physical(np.indices(other.shape)[::-1].reshape(3, -1).T) @ (1, 2, 3)).reshape(
        other.shape
    )
    both = as_image([(ramp, GRID), (wide, other)])
    assert both.channels == 2
    assert both.grid == GRID
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(both.data[1][inner], both.data[0][inner], atol=0.2)


def test_where_a_contrast_ends_there_is_air_as_in_the_rest_of_it():
    near = Grid((6, 6, 6), (1.0, 1.0, 1.0))
    far = Grid((6, 6, 6), (1.0, 1.0, 1.0), (3.0, 0.0, 0.0))
    tissue = np.random.default_rng(0).uniform(-1000, 400, (6, 6, 6))
    beyond = as_image([(tissue, near), (tissue, far)]).data[1, :, :, :2]
    np.testing.assert_allclose(beyond, tissue.min(), rtol=1e-6)


@pytest.mark.parametrize("source", [None, 3, [], {}, (np.zeros((3, 3, 3)),), np.zeros((9, 8, 7))])
def test_anything_else_is_refused_by_the_name_the_caller_gave(source):
    with pytest.raises(InputError, match="the fixed image"):
        as_image(source, "the fixed image")


def test_data_that_do_not_fit_the_grid_are_refused():
    with pytest.raises(InputError, match="do not fit"):
        as_image((np.zeros((9, 8, 7)), GRID))


def test_simpleitk_images_are_checked_like_files():
    with pytest.raises(InputError, match="the moving image is 2-D"):
        from_sitk(sitk.Image(8, 8, sitk.sitkInt16), "the moving image")


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.nrrd", "scan.mha"])
def test_a_full_disk_is_noticed_and_the_old_file_kept(tmp_path, name):
    resource = pytest.importorskip("resource")
    (tmp_path / name).write_bytes(b"old")
    big = noise(grid=Grid((40, 40, 40)))
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(InputError, match="the disk may be full"):
            write_image(big, tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(name, b"old")]
