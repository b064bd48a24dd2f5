"""What images are compared by, with and without a network."""

import pytest
import torch
from torch.nn import functional as F

from SynthFoundationLib.features.inputs import network_input
from SynthFoundationLib.features.mind import mind_ssc
from SynthFoundationLib.features.unet import UNet, UNetConfig
from SynthFoundationLib.features.weights import Weights
from SynthFoundationLib.geometry import Grid, resample
from SynthFoundationLib.images import Image
from SynthFoundationLib.registration.comparison import Descriptor

IMAGE = Image(torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(0)), Grid((16, 16, 16)))


def weights(**change) -> Weights:
    torch.manual_seed(0)
    config = UNetConfig(**{"out_channels": 4, "width": 2, "depth": 1, **change})
    return Weights(UNet(config).eval(), "made", "0" * 64, "none")


def test_mind_alone_is_left_as_it_is_at_every_stage():
    descriptor = Descriptor("mind", None)
    features = descriptor(IMAGE)
    assert torch.equal(features, mind_ssc(IMAGE.data[None])[0])
    for mind in (0.0, 0.3, 1.0):
        assert torch.equal(descriptor.balanced(features, mind), features)
    assert descriptor.identity is None


def test_network_of_half_resolution_is_shown_voxels_of_half_the_size():
    used = weights(in_channels=12, stem=2)
    features = Descriptor("learned", used)(IMAGE)
    finer = IMAGE.grid.with_spacing(0.5)
    shown = resample(IMAGE.data, IMAGE.grid, finer, fill=None)[None]
    with torch.no_grad():
        expected = F.normalize(used.network(network_input(shown, used.network.config))[0], dim=0)
    assert (features * expected).sum(0).mean() > 0.99  # a processor may compute in bfloat16


@pytest.mark.parametrize("mind", [0.0, 0.25, 1.0])
def test_mind_counts_beside_learned_features_as_much_as_it_shall(mind):
    descriptor = Descriptor("learned+mind", weights())
    a = descriptor(IMAGE)
    b = descriptor(Image(IMAGE.data.flip(1), IMAGE.grid))
    assert descriptor.parts == [("learned", 4), ("mind", 12)]
    distance = (descriptor.balanced(a, mind) - descriptor.balanced(b, mind)).square().sum(0)
    expected = (a - b)[:4].square().sum(0) + mind * (a - b)[4:].square().sum(0)
    torch.testing.assert_close(distance, expected)


def test_network_can_be_stopped():
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Descriptor("learned", weights())(IMAGE, stop)
