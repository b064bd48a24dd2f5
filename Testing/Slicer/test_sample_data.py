"""Sample volumes: registered with Slicer's module, made by the worker without a network."""

from pathlib import Path

import numpy as np
import pytest
import slicer
from SynthFoundationModuleLib import dependencies, sample_data, transforms
from SynthFoundationModuleLib.errors import UserError


def sources():
    return {one.sampleName: one for one in slicer.modules.sampleDataSources["SynthFoundation"]}


def test_samples_are_registered_with_thumbnails(module):
    assert set(sources()) == {"SynthHeadPair", "SynthHead"}
    for source in sources().values():
        thumbnail = Path(source.thumbnailFileName)
        assert thumbnail.read_bytes()[1:4] == b"PNG"


def test_a_button_shows_why_there_is_no_sample(module, monkeypatch):
    def refuse():
        raise UserError("Nothing was installed.")

    shown = []
    monkeypatch.setattr(dependencies, "ensure", refuse)
    monkeypatch.setattr(slicer.app, "testing", False)
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **_: shown.append(text))
    source = sources()["SynthHead"]
    with pytest.raises(UserError):
        source.customDownloader(source)
    assert ["Nothing was installed." in text for text in shown] == [True]


STEPS = ((transforms, "watch_loading"), (sample_data, "register"), (dependencies, "resume"))


@pytest.mark.parametrize("failing", [name for _, name in STEPS])
def test_what_fails_at_the_start_takes_nothing_else_with_it(host, monkeypatch, caplog, failing):
    taken = []

    def take(name):
        taken.append(name)
        if name == failing:
            raise RuntimeError("not this time")

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, lambda *_, name=name: take(name))
    host.load(Path(__file__).parents[2] / "SynthFoundation" / "SynthFoundation.py")
    host.show_main_window()
    host.finish_startup()
    assert taken == [name for _, name in STEPS]
    assert "not this time" in caplog.text


@pytest.mark.slow
def test_the_pair_is_two_volumes_of_one_head(module):
    fixed, moving = sources()["SynthHeadPair"].customDownloader(sources()["SynthHeadPair"])
    assert fixed.GetImageData().GetDimensions() == (112, 128, 112)
    assert slicer.util.arrayFromVolume(moving).std() > 10
    np.testing.assert_allclose(moving.GetSpacing(), (1.2, 1.2, 2.4))
