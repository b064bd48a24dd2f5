"""Everything computes where the images were sent to, and says so where it cannot.

The device that is sent to is pretended, so that this is shown on machines that have none: its tensors hold
CPU tensors inside, and refuse what a graphics card refuses, which is meeting tensors that stayed on the CPU,
going to NumPy and, as Apple's do, 64 bits. "meta" is the name it goes by, the only device besides the CPU
that every build of torch knows.
"""

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from SynthFoundationLib.devices import available, chosen
from SynthFoundationLib.errors import DeviceError
from SynthFoundationLib.geometry import fields, lookup, resample
from SynthFoundationLib.images import Image, LabelMap
from SynthFoundationLib.registration import RegistrationSession, register, warp
from SynthFoundationLib.registration import session as session_module

DEVICE = torch.device("meta")
# Places may be given by the CPU, and values may come from it.
MIXED = ("aten::copy_", "aten::_copy_from", "aten::index", "aten::_index_put_impl_")
WIDE = (torch.float64, torch.complex128)


class Elsewhere(torch.Tensor):
    """A tensor that lies on the pretended device."""

    @staticmethod
    def __new__(cls, inner):
        options = {"strides": inner.stride(), "dtype": inner.dtype, "device": DEVICE}
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, **options)

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"Elsewhere({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), options=None):
        return computed(function, arguments, options or {})


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        return computed(function, arguments, options or {})


class _Literals(TorchFunctionMode):
    """Tensors from Python numbers are made on the CPU and brought over: "meta" itself keeps no values."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        options = dict(options or {})
        if function is torch.Tensor.new_tensor and isinstance(arguments[0], Elsewhere):
            like, *values = arguments
            options = {"dtype": like.dtype, "device": like.device} | options
            function, arguments = torch.tensor, tuple(values)
        if function in (torch.tensor, torch.as_tensor) and options.get("device") is not None:
            device = options.pop("device")
            return function(*arguments, **options).to(device)
        return function(*arguments, **options)


class pretended(_Operations):
    """Makes the device work."""

    def __enter__(self):
        self.literals = _Literals()
        self.literals.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.literals.__exit__(*error)


def computed(function, arguments, options):
    """What a torch operation gives, on the device where it belongs, or an error if it could not run there."""
    leaves = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, torch.Tensor)]
    away = [leaf for leaf in leaves if isinstance(leaf, Elsewhere)]
    stayed = [leaf for leaf in leaves if not isinstance(leaf, Elsewhere) and leaf.ndim]
    if away and stayed and not function.name().split(".")[0].startswith(MIXED):
        raise RuntimeError(
            f"{function.name()}: tensors of shape {[tuple(x.shape) for x in stayed]} on the CPU"
        )
    wanted = options.get("device")
    there = bool(away) if wanted is None else torch.device(wanted) == DEVICE
    inside = tree_map(_inner, (arguments, {k: _here(k, v) for k, v in options.items()}))
    result = function(*inside[0], **inside[1])
    if function is torch.ops.aten._conj.default:  # only marked so far, and the mark would be lost
        result = torch.view_as_complex(torch.view_as_real(inside[0][0]) * torch.tensor([1.0, -1.0]))
    known = {id(leaf.inner): leaf for leaf in away}

    def placed(value):
        if not there or not isinstance(value, torch.Tensor):
            return value
        if value.dtype in WIDE and function.name() != "aten::mean":
            raise TypeError(f"{function.name()}: the device has no {value.dtype}")
        return known.get(id(value)) if id(value) in known else Elsewhere(value)

    return tree_map(placed, result)


def _inner(value):
    return value.inner if isinstance(value, Elsewhere) else value


def _here(name, value):
    return torch.device("cpu") if name == "device" and value is not None else value


def test_the_pretended_device_refuses_what_a_real_one_refuses():
    with pretended():
        there = torch.ones(2, 3, device=DEVICE)
        assert isinstance(there + 1, Elsewhere)
        assert float((there * torch.tensor([1.0, 2.0, 3.0], device=DEVICE)).sum()) == 12
        assert there.cpu().sum() == 6
        with pytest.raises(RuntimeError, match="on the CPU"):
            there + torch.ones(2, 3)
        with pytest.raises(RuntimeError):
            there.numpy()
        with pytest.raises(TypeError, match="float64"):
            there.double()


def coarse(image):
    grid = image.grid.with_spacing(4.0)
    return Image(resample(image.data, image.grid, grid, fill=None, antialias=True), grid)


def test_registration_stays_on_the_device_with_the_same_result(pair, body, brief, monkeypatch):
    for module in (lookup, fields, warp):  # the device interpolates as `grid_sample` does: here as well
        monkeypatch.setattr(module, "pays", lambda volume, points: False)
    fixed, moving = (coarse(image) for image in pair[:2])
    truth = pair[2]
    mask = LabelMap(torch.ones(fixed.grid.shape, dtype=torch.int32), fixed.grid)
    places = body[:: len(body) // 4][:4]
    landmarks = {"fixed_landmarks": places, "moving_landmarks": truth.apply(places)}

    def both(device):
        session = RegistrationSession(fixed, moving, settings=brief, device=device)
        return session.run(fixed_mask=mask), session.update(**landmarks)

    here = both("cpu")
    monkeypatch.setattr(session_module, "chosen", lambda name: DEVICE)
    with pretended():
        there = both("pretended")
        report = there[1].report
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(other.transform.apply(body), one.transform.apply(body), atol=1e-3)
        np.testing.assert_allclose(other.inverse.apply(body), one.inverse.apply(body), atol=1e-3)
    assert report["similarity"]["after"] == pytest.approx(here[1].report["similarity"]["after"], abs=1e-4)


@pytest.mark.parametrize("name", ["banana", "cuda:99", "cpu:x", "meta"])
def test_a_device_that_is_not_there_is_refused_with_what_is(pair, name):
    with pytest.raises(DeviceError, match=f"device {name} is not available; available here: auto, .*cpu"):
        register(pair[0], pair[1], device=name)


def test_what_is_missing_is_refused_and_auto_takes_the_fastest_that_works():
    assert available()[-1] == "cpu"
    assert chosen("auto").type == available()[0]
    assert chosen(torch.device("cpu")) == torch.device("cpu")
    for kind in {"cuda", "mps"} - set(available()):
        with pytest.raises(DeviceError, match=f"device {kind} is not available"):
            chosen(kind)
