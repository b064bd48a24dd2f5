"""A finished segmentation is corrected on a few slices, wherever it comes from."""

import numpy as np
import pytest
import slicer
from SynthFoundationModuleLib.finished import looks_finished
from SynthFoundationModuleLib.segments import numbered, read

K, J, I_ = np.indices((24, 32, 32))
BALL = ((K - 12) / 8) ** 2 + ((J - 16) / 10) ** 2 + ((I_ - 16) / 10) ** 2 < 1
WRONG = np.roll(BALL, 3, 2)


def ball(radius, *centre):
    return sum((x - c) ** 2 for x, c in zip((K, J, I_), centre, strict=True)) < radius**2


def slab(first, last):
    return BALL & (first <= K) & (last >= K)


def planes(*indices):
    return BALL & np.isin(K, indices)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (BALL, True),
        (BALL & (J > 16), True),  # one end is flat
        (ball(5, 12, 8, 8) | ball(5, 12, 24, 24), True),
        (slab(8, 15), False),
        (planes(6, 12, 18), False),
        (planes(6, 7, 12, 13, 18, 19), False),
        (planes(12) | BALL & (I_ == 16) | BALL & (J == 16), False),
        (np.zeros_like(BALL), False),
        (ball(1, 12, 16, 16), False),
    ],
)
def test_whole_structures_are_told_from_painted_slices(labels, expected):
    assert looks_finished(labels.astype(np.uint8)) == expected


def test_what_the_volume_cuts_is_whole_nevertheless():
    assert looks_finished(BALL[10:].astype(np.uint8))


class User:
    """Has a segmentation from elsewhere, and corrects it in the panel."""

    def __init__(self, host, module):
        noise = np.random.default_rng(0).normal(0, 10, BALL.shape)
        self.volume = slicer.util.addVolumeFromArray((100 * BALL + noise).astype(np.int16), name="scan")
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "from elsewhere")
        self.node.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        self.node.GetSegmentation().AddEmptySegment("ball", "Ball")
        self.draw(WRONG)
        self.host, self.panel = host, module.segment_panel
        self.controls, self.ui = self.panel.controls, self.panel.controls.ui

    def choose(self, module):
        module.ui.tabs.setCurrentIndex(1)
        self.panel.parameters.volume, self.panel.parameters.segmentation = self.volume, self.node
        self.host.application.processEvents()

    def draw(self, mask):
        array = mask.astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, self.node, "ball", self.volume)

    def correct(self, *indices):
        now = self.found()
        now[list(indices)] = BALL[list(indices)]
        self.draw(now)

    def update(self):
        self.ui.updateButton.click()
        self.host.wait(lambda: not self.controls.busy, 120, "the answer")
        return self.ui.segmentMessageLabel.text

    def found(self):
        return read(self.node, self.volume, numbered(self.node))

    def dice(self):
        found = self.found() > 0
        return 2 * (found & BALL).sum() / (found.sum() + BALL.sum())


@pytest.fixture
def user(host, light):
    user = User(host, light)
    user.choose(light)
    return user


def test_a_loaded_segmentation_is_corrected_on_two_slices(user):
    before = user.found()
    assert not user.ui.acceptButton.enabled
    assert "look finished" in user.update()
    np.testing.assert_array_equal(user.found(), before)
    user.correct(8, 15)
    corrected, worse = user.found(), user.dice()
    assert user.update() == ""
    assert user.dice() > max(0.93, worse + 0.1)
    np.testing.assert_array_equal(user.found()[[8, 15]], corrected[[8, 15]])
    first = user.found()
    user.correct(12)
    assert user.update() == ""
    assert user.dice() > 0.93
    user.ui.undoButton.click()
    np.testing.assert_array_equal(user.found(), first)
    user.ui.undoButton.click()
    np.testing.assert_array_equal(user.found(), before)
    assert not slicer.util.getNodes("Drawn in*", useLists=True).get("Drawn in from elsewhere 2")


def test_who_erases_alone_is_understood(user):
    now = user.found()
    now[10:14] = now[10:14] * BALL[10:14]
    user.draw(now)
    worse = user.dice()
    assert user.update() == ""
    assert not user.found()[10:14][(WRONG & ~BALL)[10:14]].any()
    assert user.dice() > worse


def test_what_was_accepted_can_be_corrected_again(user):
    user.correct(8, 15)
    assert user.update() == ""
    user.ui.acceptButton.click()
    assert not slicer.util.getNodes("Drawn in*")
    assert not slicer.util.getNodes("Draft of*")
    accepted = user.found()
    assert "look finished" in user.update()
    less = BALL[12] & (J[12] > 10)
    now = user.found()
    now[12] = less
    user.draw(now)
    assert user.update() == ""
    assert (user.found() == accepted).mean() > 0.95
    np.testing.assert_array_equal(user.found()[12], less)


def test_what_was_carried_to_another_scan_is_corrected_there(user, light):
    user.correct(8, 15)
    assert user.update() == ""
    noise = np.random.default_rng(1).normal(0, 10, BALL.shape)
    other = slicer.util.addVolumeFromArray((100 * np.roll(BALL, 2, 1) + noise).astype(np.int16), name="other")
    user.panel.parameters.target = other
    user.panel.on_transfer()
    user.host.wait(lambda: not user.controls.busy, 120, "the transfer")
    user.volume, user.node = other, slicer.util.getNode("from elsewhere in other")
    user.choose(light)
    before = user.found()
    assert "look finished" in user.update()
    now = before.copy()
    now[12] = np.roll(BALL, 2, 1)[12] & (J[12] > 12)
    user.draw(now)
    assert user.update() == ""
    np.testing.assert_array_equal(user.found()[12], now[12])
    assert (user.found() == before).mean() > 0.95


def test_a_saved_scene_knows_what_was_corrected(user, light, tmp_path):
    user.correct(8, 15)
    assert user.update() == ""
    answered = user.found()
    slicer.util.saveScene(str(tmp_path / "work.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "work.mrb"))
    user.volume, user.node = slicer.util.getNode("scan"), slicer.util.getNode("from elsewhere")
    user.panel = light.segment_panel
    user.controls, user.ui = user.panel.controls, user.panel.controls.ui
    user.choose(light)
    np.testing.assert_array_equal(user.found(), answered)
    draft = slicer.util.arrayFromVolume(slicer.util.getNode("Draft of*"))
    np.testing.assert_array_equal(draft, WRONG)
    user.correct(12)
    assert user.update() == ""
    assert user.dice() > 0.93


def test_a_segment_that_is_removed_leaves_the_draft(user):
    user.node.GetSegmentation().AddEmptySegment("other", "Other")
    array = ball(4, 12, 4, 4).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, user.node, "other", user.volume)
    user.correct(8, 15)
    assert user.update() == ""
    assert (user.found()[array > 0] == 2).all()
    user.node.GetSegmentation().RemoveSegment("other")
    user.correct(12)
    assert user.update() == ""
    assert set(np.unique(user.found())) == {0, 1}
    assert user.dice() > 0.88


def test_solid_scribbles_with_background_around_are_no_draft(user):
    user.draw(ball(4, 12, 16, 16))
    around = user.node.GetSegmentation().AddEmptySegment("around", "Background")
    shell = np.abs(np.sqrt(((K - 12) / 8) ** 2 + ((J - 16) / 10) ** 2 + ((I_ - 16) / 10) ** 2) - 1.4) < 0.1
    slicer.util.updateSegmentBinaryLabelmapFromArray(shell.astype(np.uint8), user.node, around, user.volume)
    assert user.update() == ""
    found = read(user.node, user.volume, {1: "ball"}) > 0
    assert 2 * (found & BALL).sum() / (found.sum() + BALL.sum()) > 0.8
