"""The checkerboard takes its cubes from both volumes, and lets the interface go on while it is made."""

import time

import numpy as np
import pytest
import slicer
import vtk
from SynthFoundationModuleLib import checkerboard
from SynthFoundationModuleLib.checkerboard import Checkerboard
from SynthFoundationModuleLib.geometry import vtk_matrix

SHAPE, SPACING = (40, 48, 64), (2.0, 1.5, 1.0)  # (k, j, i): cubes of 10 mm


def flat_volume(value, name):
    matrix = np.diag((*SPACING[::-1], 1.0))
    volume = slicer.util.addVolumeFromArray(np.full(SHAPE, value, np.int16), vtk_matrix(matrix), name)
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 200)
    return volume


@pytest.fixture
def volumes(host, monkeypatch):
    monkeypatch.setattr(checkerboard, "SLAB", 5 * SHAPE[1] * SHAPE[2])
    host.show_main_window()
    return flat_volume(40, "T1"), flat_volume(160, "T2")


def test_cubes_alternate_between_the_volumes_in_millimetres(host, volumes):
    board = Checkerboard()
    board.show(*volumes)
    host.wait(lambda: board.shown, 5, "the board")
    (node,) = slicer.util.getNodes("Checkerboard*").values()
    found = slicer.util.arrayFromVolume(node)
    place = np.indices(SHAPE).reshape(3, -1).T * SPACING
    odd = (place // 10).sum(1).reshape(SHAPE) % 2 == 1
    np.testing.assert_array_equal(found, np.where(odd, 204, 51))
    composite = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[0]
    assert composite.GetBackgroundVolumeID() == node.GetID()
    board.hide()
    assert not slicer.util.getNodes("Checkerboard*")


def test_of_large_volumes_a_coarser_board_is_shown_first(host, volumes, monkeypatch):
    monkeypatch.setattr(checkerboard, "MANY", 1000)
    board, seen = Checkerboard(), {}
    board.show(*volumes)

    def made():
        for node in slicer.util.getNodes("Checkerboard*").values():
            seen.setdefault(node.GetSpacing(), slicer.util.arrayFromVolume(node).copy())
        return len(seen) == 2

    host.wait(made, 5, "both boards")
    (spacing, coarse), (finer, whole) = seen.items()
    assert spacing == pytest.approx([2 * s for s in finer])
    np.testing.assert_array_equal(coarse, whole[::2, ::2, ::2])


def test_the_interface_goes_on_while_it_is_made_and_hiding_stops_it(host, volumes):
    board = Checkerboard()
    board.show(*volumes)
    assert not board.shown
    slicer.app.processEvents()
    assert not board.shown
    board.hide()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        slicer.app.processEvents()
    assert not board.shown


def test_it_follows_the_latest_transform_and_survives_a_volume_that_is_deleted(host, volumes):
    fixed, moving = volumes
    slicer.util.arrayFromVolume(moving)[0, 0, 0] = 0  # the lowest value stands for what lies outside
    board = Checkerboard()
    board.show(fixed, moving)
    shift = vtk.vtkMatrix4x4()
    shift.SetElement(0, 3, 1000)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(shift)
    moving.SetAndObserveTransformNodeID(node.GetID())
    board.show(fixed, moving)
    host.wait(lambda: board.shown, 5, "the board")
    (shown,) = slicer.util.getNodes("Checkerboard*").values()
    assert set(np.unique(slicer.util.arrayFromVolume(shown))) == {51, 0}
    board.hide()
    board.show(fixed, moving)
    slicer.mrmlScene.RemoveNode(moving)
    slicer.mrmlScene.RemoveNode(fixed)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        slicer.app.processEvents()
    assert not host.errors
