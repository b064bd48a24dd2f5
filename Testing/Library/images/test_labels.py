import time

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import (
    Image,
    LabelMap,
    as_labels,
    as_mask,
    read_image,
    read_labels,
    write_labels,
)

GRID = Grid((6, 5, 4), (1.0, 2.0, 3.0), (7.0, 8.0, 9.0), (0, -1, 0, 1, 0, 0, 0, 0, 1))


def blocks(*values):
    """A label map with one plane per value."""
    data = torch.zeros(GRID.shape, dtype=torch.int32)
    for n, value in enumerate(values):
        data[n] = value
    return data


@pytest.mark.parametrize("name", ["labels.nii.gz", "labels.nrrd", "labels.mha", "labels.seg.nrrd"])
@pytest.mark.parametrize("values", [(0, 1, 2, 255), (0, 3, 2035, 65_535), (0, 0, 0, 0)])
def test_labels_survive_writing_and_reading(tmp_path, name, values):
    labels = LabelMap(blocks(*values), GRID)
    write_labels(labels, tmp_path / name)
    again = read_labels(tmp_path / name)
    torch.testing.assert_close(again.data, labels.data)
    assert again.grid.same_space(GRID)
    assert again.values == sorted({v for v in values if v})


def test_names_and_colours_survive_in_a_slicer_segmentation(tmp_path):
    labels = LabelMap(
        blocks(0, 4, 9, 9), GRID, {4: "left kidney", 9: "Leber"}, {4: (1.0, 0.25, 0.0), 9: (0.5, 0, 1)}
    )
    write_labels(labels, tmp_path / "organs.seg.nrrd")
    again = read_labels(tmp_path / "organs.seg.nrrd")
    assert (again.names, again.colors) == (labels.names, labels.colors)
    keys = sitk.ReadImage(str(tmp_path / "organs.seg.nrrd")).GetMetaDataKeys()
    assert {"Segment0_ID", "Segment0_LabelValue", "Segment1_Extent"} <= set(keys)


def test_a_segmentation_of_very_many_labels_is_written_in_no_time(tmp_path):
    labels = LabelMap(torch.arange(65_536, dtype=torch.int32).reshape(16, 64, 64), Grid((64, 64, 16)))
    start = time.monotonic()
    write_labels(labels, tmp_path / "many.seg.nrrd")
    assert time.monotonic() - start < 30
    torch.testing.assert_close(read_labels(tmp_path / "many.seg.nrrd").data, labels.data)


def layered(tmp_path, first, second):
    """A segmentation of two layers that both use the value 1, as Slicer saves segments that may overlap."""
    layers = [sitk.GetImageFromArray(layer.astype(np.uint8)) for layer in (first, second)]
    image = sitk.Compose(layers)
    for n, (name, layer) in enumerate((("bone", 0), ("marrow", 1))):
        for key, value in {"ID": f"S{n}", "Name": name, "LabelValue": "1", "Layer": str(layer)}.items():
            image.SetMetaData(f"Segment{n}_{key}", value)
    path = tmp_path / "layers.seg.nrrd"
    sitk.WriteImage(image, str(path))
    return path


def test_layers_that_do_not_overlap_become_one_label_map(tmp_path):
    first, second = np.zeros((2, 5, 5, 5))
    first[:2], second[3:] = 1, 1
    labels = read_labels(layered(tmp_path, first, second))
    np.testing.assert_array_equal(labels.data.numpy(), first + 2 * second)
    assert labels.names == {1: "bone", 2: "marrow"}


def test_overlapping_segments_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"overlap \('marrow'"):
        read_labels(layered(tmp_path, np.ones((5, 5, 5)), np.ones((5, 5, 5))))


def test_floats_that_hold_whole_numbers_are_labels():
    assert as_labels((blocks(0, 1, 2, 3).double(), GRID)).values == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.full(GRID.shape, 0.5), "not whole numbers"),
        (np.full(GRID.shape, np.nan), "not whole numbers"),
        (np.full(GRID.shape, np.inf), "not whole numbers"),
        (np.full(GRID.shape, -1), "from -1 to"),
        (np.full(GRID.shape, 65_536), "65,535"),
        (np.full(GRID.shape, 1e30), "65,535"),
        (np.full(GRID.shape, 2**40), "65,535"),
    ],
)
def test_what_is_not_a_label_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        as_labels((data, GRID))


def test_vectors_and_other_things_are_not_labels(tmp_path):
    image = sitk.GetImageFromArray(np.ones((5, 5, 5, 3), np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / "colour.nrrd"))
    with pytest.raises(InputError, match="3 values per voxel"):
        read_labels(tmp_path / "colour.nrrd")
    with pytest.raises(InputError, match="the moving labels is given as int"):
        as_labels(3, "the moving labels")
    with pytest.raises(InputError, match="do not fit"):
        LabelMap(torch.zeros(3, 3, 3), GRID)


@pytest.mark.parametrize("name", ["cut.nii.gz", "cut.seg.nrrd"])
@pytest.mark.parametrize("thickness", [1, 3])
def test_labels_cut_to_what_they_show_may_be_thin(tmp_path, name, thickness):
    whole = LabelMap(blocks(0, 1, 2, 3), GRID)
    grid = GRID.cropped((0, 0, 1), (*GRID.size[:2], 1 + thickness))
    cut = LabelMap(whole.data[1 : 1 + thickness], grid)
    write_labels(cut, tmp_path / name)
    again = read_labels(tmp_path / name)
    torch.testing.assert_close(again.data, cut.data)
    assert again.grid.same_space(grid, 1e-4)
    with pytest.raises(InputError, match="at least 4"):
        read_image(tmp_path / name)


def test_a_mask_is_every_voxel_that_is_not_zero():
    mask = as_mask((blocks(0, 1, 7, 0), GRID))
    torch.testing.assert_close(mask.data[0], (blocks(0, 1, 1, 0)).float())
    torch.testing.assert_close(as_mask(Image(blocks(0, 1, 7, 0), GRID)).data, mask.data)


def test_an_empty_mask_is_refused():
    with pytest.raises(InputError, match="the fixed mask is empty"):
        as_mask((np.zeros(GRID.shape), GRID), "the fixed mask")
