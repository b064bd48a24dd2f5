"""Sample volumes: registered with Slicer's module, made by the worker without a network."""

from pathlib import Path

import numpy as np
import pytest
import slicer


def sources():
    return {one.sampleName: one for one in slicer.modules.sampleDataSources["SynthFoundation"]}


def test_samples_are_registered_with_thumbnails(module):
    assert set(sources()) == {"SynthHeadPair", "SynthHead"}
    for source in sources().values():
        thumbnail = Path(source.thumbnailFileName)
        assert thumbnail.read_bytes()[1:4] == b"PNG"


@pytest.mark.slow
def test_the_pair_is_two_volumes_of_one_head(module):
    fixed, moving = sources()["SynthHeadPair"].customDownloader(sources()["SynthHeadPair"])
    assert fixed.GetImageData().GetDimensions() == (112, 128, 112)
    assert slicer.util.arrayFromVolume(moving).std() > 10
    np.testing.assert_allclose(moving.GetSpacing(), (1.2, 1.2, 2.4))
