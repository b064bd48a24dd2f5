"""What was drawn is told from what was answered."""

import numpy as np
import pytest
import slicer
from SynthFoundationModuleLib.seeds import BACKGROUND, Seeds

SHAPE = (8, 10, 12)
NOTHING = np.zeros(SHAPE, bool)


@pytest.fixture
def nodes(host):
    volume = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16), name="scan")
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs"), volume


def drawn_first():
    first = np.zeros(SHAPE, np.uint8)
    first[[2, 6], 3:7, 3:9] = 1
    return first


def answered():
    answer = np.zeros(SHAPE, np.uint8)
    answer[2:7, 3:7, 3:9] = 1
    return answer


@pytest.fixture
def seeds(nodes):
    """Seeds after a first update."""
    seeds = Seeds(*nodes)
    assert seeds.take(drawn_first(), None, None, {1: "a"})
    seeds.learn([{"axis": 0, "index": 2}, {"axis": 0, "index": 6}])
    return seeds


def sent(seeds, around=NOTHING):
    request = seeds.request(around)
    whole = np.zeros(SHAPE, np.uint8)
    whole[tuple(slice(a, b) for a, b in request["seeds_box"])] = request["seeds"]
    return whole, request["complete_slices"], request["background"]


def test_the_first_time_everything_drawn_is_a_seed_and_slices_are_found(nodes):
    seeds = Seeds(*nodes)
    seeds.take(drawn_first(), None, None, {1: "a"})
    whole, complete, background = sent(seeds)
    np.testing.assert_array_equal(whole, drawn_first())
    assert (complete, background) == ("auto", None)
    assert seeds.request(NOTHING)["seeds"].size == 5 * 4 * 6


def test_with_scribbles_around_no_slice_is_complete(nodes):
    seeds, around = Seeds(*nodes), NOTHING.copy()
    around[2, 1, 3:9] = True
    seeds.take(drawn_first(), None, None, {1: "a"})
    whole, complete, background = sent(seeds, around)
    assert (complete, background) == ("none", BACKGROUND)
    np.testing.assert_array_equal(whole == BACKGROUND, around)
    seeds.learn([])
    now = answered()
    now[4, 5, 5] = 0
    seeds.take(now, answered(), (0, 4), {1: "a"})  # these scribbles were taken away again
    whole, complete, background = sent(seeds)
    assert complete == {"0": [], "1": [], "2": []}  # though the proposed slice was corrected
    assert list(np.argwhere(whole == BACKGROUND)[0]) == [4, 5, 5]
    assert (whole == BACKGROUND).sum() == 1


def test_planes_across_the_slices_are_kept_with_what_is_empty_in_them(nodes):
    seeds, first = Seeds(*nodes), np.zeros(SHAPE, np.uint8)
    k, j, _i = np.indices(SHAPE)
    tilted = k == j - 1
    first[tilted & (k > 1) & (k < 6)] = 1
    seeds.take(first, None, None, {1: "a"})
    assert sent(seeds)[1:] == ("auto", None)
    seeds.learn([], [[1, -1, 0, -1.2, 0.5]])
    whole, complete, background = sent(seeds)
    np.testing.assert_array_equal(whole, np.where(tilted & (first == 0), BACKGROUND, first))
    assert (complete, background) == ({"0": [], "1": [], "2": []}, BACKGROUND)
    again = Seeds(*nodes)
    assert again.restore()
    np.testing.assert_array_equal(sent(again)[0], whole)


def test_scribbles_around_leave_what_was_drawn_as_it_is(nodes):
    seeds = Seeds(*nodes)
    seeds.take(drawn_first(), None, None, {1: "a"})
    np.testing.assert_array_equal(sent(seeds, drawn_first() > 0)[0], drawn_first())


def test_slices_are_looked_for_again_where_no_background_is_left(nodes):
    seeds = Seeds(*nodes)
    seeds.take(drawn_first(), None, None, {1: "a"})
    seeds.learn([])
    now = answered()
    now[4, 9, 9] = 1
    seeds.take(now, answered(), None, {1: "a"})
    assert sent(seeds)[1:] == ("auto", None)


def test_what_is_added_becomes_a_seed_and_what_is_erased_background(seeds):
    now = answered()
    now[3:7, 5, 5] = 0  # a tool that reaches through many slices
    now[4, 9, 11] = 2
    assert not seeds.take(now, answered(), None, {1: "a", 2: "b"})
    whole, complete, background = sent(seeds)
    assert (whole[3:7, 5, 5] == BACKGROUND).all()
    assert background == BACKGROUND
    assert whole[4, 9, 11] == 2
    assert (whole != 0).sum() == (drawn_first() != 0).sum() + 4
    assert complete == {"0": [2, 6], "1": [], "2": []}


def test_corrected_slices_are_taken_as_they_are_now(seeds):
    now = answered()
    now[4, 3, 3] = 0
    now[5, 8, 9] = 1
    seeds.take(now, answered(), None, {1: "a"})
    whole, complete, _background = sent(seeds)
    assert complete["0"] == [2, 4, 5, 6]
    np.testing.assert_array_equal(whole[4:6], now[4:6])


def test_among_many_touched_slices_only_those_redrawn_and_the_proposed_one_count(seeds):
    now = answered()
    now[2:7, 3, 3] = 0
    now[5] = 0
    now[5, 4:6, 4:8] = 1
    seeds.take(now, answered(), (0, 3), {1: "a"})
    assert sent(seeds)[1]["0"] == [2, 3, 5, 6]


def test_the_editors_own_undo_is_a_new_beginning_not_a_thousand_erasures(seeds):
    assert seeds.take(drawn_first(), answered(), None, {1: "a"})
    whole, complete, background = sent(seeds)
    np.testing.assert_array_equal(whole, drawn_first())
    assert (complete, background) == ("auto", None)


def test_seeds_of_a_removed_segment_are_forgotten(seeds):
    now = answered()
    now[now == 1] = 0
    now[4, 4, 4] = 2
    seeds.take(now, now, None, {2: "b"})
    assert set(np.unique(sent(seeds)[0])) <= {0, 2, BACKGROUND}


def test_undo_brings_back_what_was_drawn_before(seeds):
    before = seeds.snapshot()
    now = answered()
    now[4, 5, 5] = 0
    seeds.take(now, answered(), None, {1: "a"})
    seeds.reset(before)
    whole, complete, _background = sent(seeds)
    np.testing.assert_array_equal(whole, drawn_first())
    assert complete["0"] == [2, 6]


def test_seeds_are_found_again_in_a_saved_scene(seeds, nodes, tmp_path):
    now = answered()
    now[4, 5, 5] = 0
    seeds.take(now, answered(), None, {1: "a"})
    expected = sent(seeds)
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    segmentation = slicer.util.getFirstNodeByClassByName("vtkMRMLSegmentationNode", "organs")
    volume = slicer.util.getFirstNodeByClassByName("vtkMRMLScalarVolumeNode", "scan")
    found = Seeds(segmentation, volume)
    assert found.restore()
    for one, other in zip(sent(found), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_cleared_seeds_leave_the_scene(seeds, nodes):
    seeds.clear()
    assert not Seeds(*nodes).restore()
    assert not slicer.util.getNodesByClass("vtkMRMLLabelMapVolumeNode")


def test_a_clone_gets_seeds_of_its_own(seeds, nodes):
    clone = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs copy")
    clone.CopyReferences(nodes[0])
    other = Seeds(clone, nodes[1])
    assert other.restore()  # what was drawn so far is in both
    now = answered()
    now[4, 5, 5] = 0
    other.take(now, answered(), None, {1: "a"})
    again = Seeds(*nodes)
    assert again.restore()
    np.testing.assert_array_equal(sent(again)[0], drawn_first())
    other.clear()
    assert Seeds(*nodes).restore()
