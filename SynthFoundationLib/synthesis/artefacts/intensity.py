"""Artefacts that act on intensities: bias field, tone curves, clipped windows, noise."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from SynthFoundationLib.synthesis.draws import Parameters, chance, log_uniform, seed_of
from SynthFoundationLib.synthesis.fields import Shape, smooth_noise, white_noise


def shape_of(volume: Tensor) -> Shape:
    """The three sizes of a volume as a tuple."""
    return volume.shape[0], volume.shape[1], volume.shape[2]


def sample_bias(rng: random.Random) -> Parameters:
    """A multiplicative field of a few cells across the volume."""
    return {"seed": seed_of(rng), "cells": [log_uniform(rng, 1, 3)] * 3, "size": rng.uniform(0.05, 0.35)}


def bias(volume: Tensor, p: Parameters) -> Tensor:
    """Receive-coil shading, exp of a smooth field."""
    field = smooth_noise(p["seed"], p["cells"], shape_of(volume), volume.device)[0]
    return volume * field.mul_(p["size"]).exp_()


def sample_gamma(rng: random.Random) -> Parameters:
    """Exponent between 1/2 and 2."""
    return {"gamma": log_uniform(rng, 0.5, 2.0)}


def gamma(volume: Tensor, p: Parameters) -> Tensor:
    """Monotone tone curve."""
    return volume.clamp(min=0).pow_(p["gamma"])


def sample_curve(rng: random.Random) -> Parameters:
    """Random knots: a tone curve that may rise and fall, as between two MR contrasts."""
    count = rng.randint(4, 8)
    values = [rng.uniform(0, 1) for _ in range(count)]
    return {"values": [0.0, *values[1:]] if chance(rng, 0.6) else values}


def curve(volume: Tensor, p: Parameters) -> Tensor:
    """Piecewise linear tone curve through equally spaced knots on [0, 1]."""
    knots = torch.tensor([*p["values"], p["values"][-1]], device=volume.device)
    place = volume.clamp(0, 1).mul_(len(p["values"]) - 1)
    low = place.floor()
    index = low.int().flatten()
    start = knots.index_select(0, index).reshape(volume.shape)
    stop = knots.index_select(0, index + 1).reshape(volume.shape)
    return torch.lerp(start, stop, place.sub_(low))


def sample_window(rng: random.Random) -> Parameters:
    """Fractions of the range that are cut off at both ends."""
    return {"low": rng.uniform(0, 0.25), "high": rng.uniform(0.6, 1.0)}


def window(volume: Tensor, p: Parameters) -> Tensor:
    """Saturation below and above a display window."""
    return volume.clamp(p["low"], p["high"])


def sample_noise(rng: random.Random) -> Parameters:
    """Kind and strength of the noise."""
    kind = rng.choice(["gaussian", "gaussian", "rician", "speckle"])
    return {"kind": kind, "seed": seed_of(rng), "size": log_uniform(rng, 0.005, 0.09)}


def noise(volume: Tensor, p: Parameters) -> Tensor:
    """Additive, Rician (magnitude of a complex signal) or multiplicative noise."""
    grain = white_noise(p["seed"], volume.shape, volume.device).mul_(p["size"])
    if p["kind"] == "speckle":
        return volume + 2 * volume * grain
    if p["kind"] == "gaussian":
        return volume + grain
    other = white_noise(p["seed"] + 1, volume.shape, volume.device).mul_(p["size"])
    return (volume + grain).square_().add_(other.square_()).sqrt_()
