"""Times what a user waits for, by clicking through the panels on the test host with the real worker.

    python Testing/SlicerHost/time_panels.py register FIXED MOVING
    python Testing/SlicerHost/time_panels.py segment VOLUME LABELS

The worker is started before the first click, as it is in Slicer while the user chooses volumes. Segmentation
paints three slices of the largest label as they truly are, then corrects the proposed slices one by one.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

import slicerhost  # noqa: E402

LONGEST = 3600.0


class User:
    """Clicks, waits, and writes down how long it took."""

    def __init__(self) -> None:
        self.host = slicerhost.boot()
        self.host.load(ROOT / "SynthFoundation" / "SynthFoundation.py")
        self.host.finish_startup()
        self.host.show_main_window()
        self.widget = self.host.open("SynthFoundation")
        self.start = self.longest_gap = 0.0

    def load(self, path: Path) -> object:
        import slicer

        return slicer.util.loadVolume(str(path))

    def begin(self) -> None:
        self.start, self.longest_gap = time.monotonic(), 0.0

    def wait(self, condition: object, what: str) -> None:
        """Wait, with an eye on how long the interface stands still at most."""
        last = time.monotonic()

        def looked() -> object:
            nonlocal last
            now = time.monotonic()
            self.longest_gap, last = max(self.longest_gap, now - last), now
            return condition()

        self.host.wait(looked, LONGEST, what)
        self.say(what)

    def say(self, what: str) -> None:
        seconds = time.monotonic() - self.start
        print(f"{what:<40} {seconds:7.2f} s   interface stood still {self.longest_gap:5.2f} s", flush=True)


def register(user: User, fixed_path: Path, moving_path: Path) -> None:
    fixed, moving = user.load(fixed_path), user.load(moving_path)
    panel = user.widget.register_panel
    panel.parameters.fixed, panel.parameters.moving = fixed, moving
    user.begin()
    user.wait(lambda: panel._worker.poll() or panel._worker.pid, "worker ready")
    pictures: list[str] = []
    show = panel._show_progress
    panel._show_progress = lambda *told: (pictures.append(told[2]) if told[2] else None, show(*told))

    def click(what: str) -> None:
        pictures.clear()
        user.begin()
        panel.ui.registerButton.click()
        user.say(f"{what}: click handled")
        user.wait(lambda: pictures, f"{what}: first picture")
        user.wait(lambda: not panel.busy, f"{what}: result")
        print("   ", panel.ui.messageLabel.text, _plain(panel.ui.verdictLabel.text))

    click("register")
    user.begin()
    panel.ui.stiffnessSlider.value = 1
    _answered(user, panel, "stiffness changed")
    user.begin()
    panel.ui.landmarkButton.click()
    chosen = panel.parameters
    place = _middle(fixed)
    chosen.fixedLandmarks.AddControlPointWorld(*place)
    chosen.movingLandmarks.AddControlPointWorld(place[0] + 3, place[1], place[2])
    _answered(user, panel, "pair of landmarks placed")
    user.begin()
    chosen.movingLandmarks.SetNthControlPointPositionWorld(0, *place)
    _answered(user, panel, "landmark dragged")
    user.begin()
    panel.ui.fixedBoxButton.click()
    _answered(user, panel, "box made")
    user.begin()
    panel.ui.checkerboardBox.checked = True
    user.wait(lambda: panel._board.shown, "checkerboard")
    panel.ui.checkerboardBox.checked = False
    user.begin()
    chosen.makeMoved = chosen.makeJacobian = chosen.makeConfidence = True
    panel.ui.outputsButton.click()
    user.wait(lambda: "Confidence" in panel.ui.messageLabel.text, "moved volume and maps")
    chosen.fixedMask = None
    _answered(user, panel, "box taken away")
    user.begin()
    panel.ui.registerButton.click()
    user.wait(lambda: panel.ui.progressBar.value > 20, "second run under way")
    user.begin()
    panel.ui.registerButton.click()
    user.wait(lambda: not panel.busy, "cancel")
    print("   ", panel.ui.messageLabel.text)


def _answered(user: User, panel: object, what: str) -> None:
    user.host.wait(lambda: panel.busy, 30, f"the update after: {what}")
    user.wait(lambda: not panel.busy, f"update: {what}")
    if panel.ui.messageLabel.text:
        print("   ", panel.ui.messageLabel.text)


def _middle(volume: object) -> list[float]:
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]


def _plain(text: str) -> str:
    return text.replace("<br>", " | ").replace("<b>", "").replace("</b>", "")


def segment(user: User, path: Path, labels_path: Path) -> None:
    import numpy as np
    import slicer

    volume = user.load(path)
    truth = slicer.util.loadLabelVolume(str(labels_path))
    array = slicer.util.arrayFromVolume(truth)
    slicer.mrmlScene.RemoveNode(truth)
    values, counts = np.unique(array[array > 0], return_counts=True)
    truth = array == values[np.argmax(counts)]
    user.widget.ui.tabs.setCurrentIndex(1)
    panel = user.widget.segment_panel
    panel.parameters.volume = volume
    panel.choose_nodes()
    user.begin()
    user.wait(lambda: panel._worker.poll() or panel._worker.pid, "worker ready")
    axis = int(np.argmax(volume.GetSpacing()[::-1]))
    held = np.flatnonzero(truth.any(tuple({0, 1, 2} - {axis})))
    drawn = np.zeros(truth.shape, np.uint8)
    for share in (0.2, 0.5, 0.8):
        index = int(held[int(share * (len(held) - 1))])
        np.moveaxis(drawn, axis, 0)[index] = np.moveaxis(truth, axis, 0)[index]
    segmentation = panel.parameters.segmentation
    name = segmentation.GetSegmentation().GetNthSegmentID(0)

    def paint(mask: object) -> None:
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, name, volume)

    def found() -> object:
        return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name, volume) > 0

    def dice() -> str:
        mask = found()
        return f"Dice {2 * (mask & truth).sum() / (mask.sum() + truth.sum()):.3f}"

    paint(drawn)
    controls = panel.controls
    user.begin()
    controls.ui.updateButton.click()
    user.say("first update: click handled")
    user.wait(lambda: not controls.busy, "first update")
    print("   ", dice(), controls.ui.segmentMessageLabel.text)
    controls.ui.liveBox.checked = True
    glances: list[float] = []
    glance = controls.session._glance
    controls.session._glance = lambda *told: (glance(*told), glances.append(time.monotonic()))
    for step in range(3):
        if controls.session.next_slice is None:
            print("    sure everywhere")
            break
        along, index = controls.session.next_slice
        mask = found().astype(np.uint8)
        np.moveaxis(mask, along, 0)[index] = np.moveaxis(truth, along, 0)[index]
        edits = controls.session.edits
        glances.clear()
        user.begin()
        paint(mask)
        user.wait(lambda edits=edits: controls.session.edits > edits, f"stroke {step + 1}, live")
        if glances:
            print(f"    in the slices in view after {glances[-1] - user.start:.2f} s")
        print("   ", f"slice {index} along axis {along}", dice())
    user.begin()
    controls.ui.undoButton.click()
    user.wait(lambda: True, "undo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("panel", choices=("register", "segment"))
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    arguments = parser.parse_args()
    user = User()
    {"register": register, "segment": segment}[arguments.panel](user, arguments.first, arguments.second)
    if user.host.errors:
        raise SystemExit("".join(user.host.errors))


if __name__ == "__main__":
    main()
