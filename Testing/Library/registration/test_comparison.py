"""What images are compared by, with and without a network."""

import pytest
import torch
from torch.nn import functional as F

from SynthFoundationLib.features.inputs import network_input
from SynthFoundationLib.features.mind import mind_ssc
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weights import Weights
from SynthFoundationLib.geometry import Grid
from SynthFoundationLib.images import Image
from SynthFoundationLib.registration.comparison import Descriptor
from SynthFoundationLib.registration.described import Described

IMAGE = Image(torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(0)), Grid((16, 16, 16)))


def weights(**change) -> Weights:
    torch.manual_seed(0)
    config = UNetConfig(**{"out_channels": 4, "width": 2, "depth": 1, **change})
    return Weights(UNet(config).eval(), "made", "0" * 64, "none")


def test_mind_alone_is_left_as_it_is_at_every_stage():
    descriptor = Descriptor("mind", None)
    seen = descriptor.described(IMAGE)
    for learned in (0.0, 0.3, 1.0):
        assert torch.equal(seen.at(1, learned), mind_ssc(IMAGE.data[None])[0])
    assert descriptor.identity is None


def test_a_network_of_half_resolution_is_shown_the_voxels_themselves():
    used = weights(in_channels=12, stem=2)
    found = Descriptor("learned", used).described(IMAGE).learned
    with torch.no_grad():
        shown = network_input(IMAGE.data[None], used.network.config)
        expected = F.normalize(used.network(shown)[0], dim=0)
    assert (found * expected).sum(0).mean() > 0.99  # a processor may compute in bfloat16


def test_network_can_be_stopped():
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Descriptor("learned", weights()).described(IMAGE, stop)


def described(learned, mind):
    """Features with numbers for values on 8³ voxels of 1 mm, learned ones on 4³."""
    generator = torch.Generator().manual_seed(1)
    parts = [
        torch.rand(3, n, n, n, generator=generator) if there else None
        for n, there in ((4, learned), (8, mind))
    ]
    return Described(*parts, IMAGE.grid.cropped((0, 0, 0), (8, 8, 8)))


@pytest.mark.parametrize("factor", [2, 4])
def test_learned_features_count_beside_mind_as_much_as_they_shall_on_every_level(factor):
    seen = described(True, True)
    found = seen.at(factor, 0.25)
    own = seen.learned if factor == 2 else F.avg_pool3d(seen.learned, 2)
    torch.testing.assert_close(found[:3], 0.5 * own)
    torch.testing.assert_close(found[3:], F.avg_pool3d(seen.mind, factor))
    assert torch.equal(seen.at(factor, 0.0), found[3:])


def test_without_mind_learned_features_are_there_on_all_levels():
    seen = described(True, False)
    assert torch.equal(seen.at(2, 0.0), seen.learned)
    fine = seen.at(1, 0.0)
    expected = F.interpolate(seen.learned[None], scale_factor=2, mode="trilinear", align_corners=False)[0]
    torch.testing.assert_close(fine, expected)
    assert seen.at(3, 1.0).shape == (3, 3, 3, 3)


def test_without_a_network_there_is_mind_alone():
    seen = described(False, True)
    assert torch.equal(seen.at(1, 1.0), seen.mind)


@pytest.mark.parametrize("stem", [1, 2])
def test_learned_features_of_the_finest_level_lie_on_voxels_twice_as_wide(stem):
    descriptor = Descriptor("learned+mind", weights(stem=stem))
    seen = descriptor.described(IMAGE)
    assert seen.learned.shape == (4, 8, 8, 8)
    assert torch.equal(seen.mind, mind_ssc(IMAGE.data[None])[0])
    assert descriptor.parts == [("learned", 4), ("mind", 12)]
