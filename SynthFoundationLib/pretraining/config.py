"""Training configurations: TOML files read into frozen dataclasses, every unknown key refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from SynthFoundationLib.errors import InputError
from SynthFoundationLib.features.unet import UNetConfig


@dataclass(frozen=True)
class DataConfig:
    """What a step sees."""

    side: int = 128
    """Voxels along each axis of a view."""
    margin: int = 32
    """Voxels by which the rendered pair is larger: room for two different windows on it; even."""
    pairs: int = 1
    """Pairs contrasted with each other; their labels are distinct."""
    accumulate: int = 1
    """Such batches per process and step, gradients averaged."""
    workers: int = 1
    """Processes that render ahead; 0 renders in the training process, on its device."""
    render: str = "cpu"
    """Where these processes render: "cpu", or "device" for that of the training."""
    bend: float = 0.0
    """Largest mean slope of the displacement by which the second view is bent; 0 leaves anatomies alike."""
    templates: str = ""
    """Folder of label maps whose shapes to use; empty for template-free anatomies."""


@dataclass(frozen=True)
class LossConfig:
    """The label loss of the paper over several levels, and the place loss on the output."""

    temperature: float = 0.33
    anchors: int = 512
    """Voxels per pair and level in the label loss."""
    head_width: int = 256
    label_weight: float = 1.0
    place_weight: float = 1.0
    place_temperature: float = 0.07
    place_anchors: int = 512
    """Voxels per pair in the place loss."""
    place_neighbours: int = 24
    """Negatives close to each voxel of the place loss."""
    place_radius: float = 1.2
    """Voxels of the feature grid within which a neighbour is neither positive nor negative."""
    border: float = 3.0
    """How much likelier a voxel at a label border is drawn."""
    background: float = 0.1
    """Largest share of anchors in the background."""


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with warm-up, a constant rate and a linear decay at the end."""

    rate: float = 2e-4
    weight_decay: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 2.0
    """Largest gradient norm."""
    warmup: int = 200
    decay: float = 0.3
    """Share of the steps, at the end, over which the rate falls to zero."""
    average: float = 0.999
    """Decay of the moving average of the weights that is validated and exported."""


@dataclass(frozen=True)
class RunConfig:
    """How long, how exact, and how often to look."""

    steps: int = 1000
    minutes: float = 0.0
    """End after so long, at most `steps`, the rate falling in time; 0 does all steps. Not repeatable."""
    seed: int = 0
    precision: str = "32-true"
    save_every: int = 200
    validate_every: int = 200
    validation_pairs: int = 8
    picture_every: int = 0
    threads: int = 0
    """CPU threads of the training process; 0 leaves torch's choice."""
    start: str = ""
    """Id or file of weights that the training goes on from; empty for random ones."""
    target: float = 0.0
    """Loss that the last tenth of the run must reach on average; 0 asks for nothing."""


@dataclass(frozen=True)
class PretrainConfig:
    """One training, as a TOML file describes it."""

    data: DataConfig = field(default_factory=DataConfig)
    network: UNetConfig = field(default_factory=UNetConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def plain(self) -> dict[str, Any]:
        """Nested plain values, as in the file."""
        return asdict(self)


def from_plain(tables: dict[str, Any]) -> PretrainConfig:
    """Build a configuration from nested plain values.

    Raises:
        InputError: for an unknown table or key, or a side that the network cannot halve often enough.
    """
    sections = {f.name: f.default_factory for f in fields(PretrainConfig)}
    built = {}
    for name, table in tables.items():
        if name not in sections:
            raise InputError(f"unknown table [{name}]; available: {', '.join(sections)}")
        kind: Any = sections[name]
        known = [f.name for f in fields(kind)]
        for key in table:
            if key not in known:
                raise InputError(f"unknown key '{key}' in [{name}]; available: {', '.join(known)}")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        for key, value in values.items():
            _check(f"[{name}] {key}", value, getattr(kind(), key))
        built[name] = kind(**values)
    config = PretrainConfig(**built)
    stride = config.network.stride
    if config.data.side % stride or config.data.side < 2 * stride:
        raise InputError(
            f"side {config.data.side}: this network needs a multiple of {stride}, at least {2 * stride}"
        )
    if config.data.margin < 0 or config.data.margin % 2:
        raise InputError(f"margin {config.data.margin}: an even number of voxels, at least 0, is needed")
    if config.data.render not in ("cpu", "device"):
        raise InputError(f"[data] render is {config.data.render!r}; it must be 'cpu' or 'device'")
    if config.run.seed > LAST_SEED:
        raise InputError(f"[run] seed is {config.run.seed}; it must be 0 to {LAST_SEED}")
    return config


# The last seed; the next would train on the pairs that validation is made of.
LAST_SEED = 999
# Where zero means something; all other numbers must be positive.
ZERO = {"margin", "workers", "bend", "label_weight", "place_weight", "place_radius", "background"}
ZERO |= {"weight_decay", "warmup", "decay", "average", "seed", "picture_every", "threads", "target"}
ZERO |= {"place_neighbours", "minutes"}


def _check(name: str, value: Any, default: Any) -> None:
    """Refuse a value of another kind than the default, or a number out of range."""
    kind = float if isinstance(default, float) else type(default)
    if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
        raise InputError(f"{name} is {value!r}; it must be of the kind of {default!r}")
    if isinstance(value, (int, float)) and (value < 0 or (value == 0 and name.split()[1] not in ZERO)):
        bound = "at least 0" if name.split()[1] in ZERO else "greater than 0"
        raise InputError(f"{name} is {value!r}; it must be {bound}")


def read_config(path: str | Path) -> PretrainConfig:
    """Read a TOML file.

    Raises:
        InputError: for a missing or malformed file, an unknown key or an impossible value.
    """
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot read the configuration {Path(path).name}: {error.strerror}; "
            "give a TOML file such as Resources/Configs/smoke.toml"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"the configuration {Path(path).name} is not UTF-8 text; give TOML") from error
    try:
        return from_plain(tomllib.loads(text))
    except (ValueError, TypeError) as error:
        raise InputError(f"the configuration {Path(path).name} is malformed: {error}") from error
