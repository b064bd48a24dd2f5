"""Every parameter of registration, in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class StartSettings:
    """How the start is searched.

    Attributes:
        search_voxels: voxels along the longest axis while orientations are tried.
        second_voxels: the same while right angles are tried again, both images cut to the patient.
        refine_voxels: the same, cut likewise, while the best poses are refined.
        margin: how much is left around the patient, as a share of his longest side.
        tilt_degrees: turns tried about each axis where right angles decide nothing.
        tilted: poses about which these turns are tried.
        near_tilt_degrees: turns tried about each axis where right angles decide: they hide what lies between.
        kept: poses kept of the first search; as many are refined, and no more shown to the network.
        kept_near, near_share: poses kept where right angles decide, if they score such a share of the best.
        kept_upright: poses in the headers' orientation that are kept in any case.
        kept_second: poses kept of the second search.
        lean_degrees, leaned: finer turns tried about each axis of so many poses, where none is believed.
        wide, wide_second: poses kept of both searches, and all refined, where none of those is recognised.
        short: a moving scan that shows less of the fixed one's length is placed on finer voxels, too.
        decisive: how many times better the best orientation must score for the search to end there.
        certain: a pose that is decided for, but scores less, has to be recognised.
        plausible: of how much of one scan the bundled network then has to find in the other.
        recognised: the same where nothing is decided; the best of which it is true is taken.
        promising: of how much, for a pose to be refined again where it is not recognised.
        nearer, nearer_voxels: so many of these at most, the best first, on finer voxels and for twice as many
            rounds, before more poses are looked for.
        elsewhere: poses that differ by such a share of the patient's length are rivals; one that scores
            `decisive` times more than all its rivals has to be promising only.
        header_trust: how much more a pose counts that agrees with the headers' orientation.
        rigid_rounds, affine_rounds, iterations: features are taken anew each round, for so many steps.
        stiffness: resistance to the stretch and shear of each round, in units of the data's curvature.
    """

    search_voxels: int = 18
    second_voxels: int = 30
    refine_voxels: int = 32
    margin: float = 0.05
    tilt_degrees: tuple[float, ...] = (22.5, 45.0)
    tilted: int = 3
    near_tilt_degrees: tuple[float, ...] = (30.0,)
    kept: int = 8
    kept_near: int = 3
    near_share: float = 0.75
    kept_upright: int = 3
    kept_second: int = 4
    lean_degrees: tuple[float, ...] = (11.0, 6.0)
    leaned: int = 8
    wide: int = 32
    wide_second: int = 8
    short: float = 0.75
    decisive: float = 1.35
    certain: float = 0.3
    plausible: float = 0.6
    promising: float = 0.5
    recognised: float = 0.65
    nearer: int = 2
    nearer_voxels: int = 48
    elsewhere: float = 0.15
    header_trust: float = 0.3
    rigid_rounds: int = 3
    affine_rounds: int = 3
    iterations: int = 1
    stiffness: float = 0.3


@dataclass(frozen=True)
class LinearSettings:
    """The rigid and affine stages.

    Attributes:
        voxels: along the longest axis, per level.
        rounds: features are taken anew so many times at most, until nothing moves by `tolerance` voxels.
        iterations: as in `StartSettings`.
        stiffness: resistance to stretch and shear beyond the start's, in units of the data's curvature.
        stiffness_alone: the same on one more level where no bend follows, beyond what was found until then.
        finest_alone: its voxels are no finer than this share of the finer scan's, nor more than a bend's are.
        landmark_weight: pull of a pair of landmarks, in units of the curvature of the whole data term.
        learned: how much learned features count beside MIND, where there are both; 0 leaves them out.
    """

    voxels: tuple[int, ...] = (48,)
    learned: float = 1.0
    rounds: int = 24
    tolerance: float = 0.02
    iterations: int = 1
    stiffness: float = 0.3
    stiffness_alone: float = 0.01
    finest_alone: float = 0.5
    landmark_weight: float = 0.25


@dataclass(frozen=True)
class DiscreteSettings:
    """The global discrete stage.

    Attributes:
        voxels: about how many voxels its grid has at most.
        coarsening: of its grid against the finest data grid, at least.
        reach: displacements of up to so many voxels are tried along each axis; 0 leaves the stage out.
        learned: as in `LinearSettings`.
    """

    voxels: int = 8_000
    coarsening: int = 4
    reach: int = 3
    learned: float = 1.0


@dataclass(frozen=True)
class DeformableSettings:
    """The continuous stage.

    Attributes:
        voxels: about how many voxels the finest data grid has; bounds memory and time.
        levels: coarsening of the data grid per level, coarse to fine.
        pooling: features are means over so many³ voxels of a finer grid, as edges lie between voxels, too.
        control: coarsening of the velocity grid against the data grid, per level.
        velocity_voxels: data grids of no more voxels are the velocity's as well, unless landmarks pull.
        iterations: Gauss–Newton steps per level.
        update_iterations: the same when a result is brought up to date; 0 leaves a level out.
        solver_iterations: conjugate gradient steps in each of these.
        bending, stretching: smoothness, in units of the mean data curvature.
        fine_stiffness: how many times smoother a velocity on all voxels of the finest grid has to be.
        slice_share: no voxels finer than this share of the thickest slice; between slices nothing matches.
        margin: how much air around the patient takes part, as a share of his longest side.
        air_weight: how much air counts against the patient.
    """

    voxels: int = 2_000_000
    levels: tuple[int, ...] = (4, 2, 1)
    pooling: int = 2
    control: tuple[int, ...] = (1, 1, 2)
    velocity_voxels: int = 300_000
    iterations: tuple[int, ...] = (6, 8, 3)
    update_iterations: tuple[int, ...] = (0, 0, 2)
    solver_iterations: int = 20
    bending: float = 3.0
    stretching: float = 0.3
    fine_stiffness: float = 2.0
    slice_share: float = 0.3
    margin: float = 0.02
    air_weight: float = 0.05


@dataclass(frozen=True)
class Settings:
    """All parameters of a registration; `Settings.preset` gives the named ones.

    `landmark_weight` is the pull of a pair of landmarks in units of the mean data curvature.
    """

    start: StartSettings = field(default_factory=StartSettings)
    linear: LinearSettings = field(default_factory=LinearSettings)
    discrete: DiscreteSettings = field(default_factory=DiscreteSettings)
    deformable: DeformableSettings = field(default_factory=DeformableSettings)
    landmark_weight: float = 1400.0

    @classmethod
    def preset(cls, name: str) -> Settings:
        """The settings called `fast`, `default` or `accurate`.

        Raises:
            InputError: there is no such preset.
        """
        if name not in PRESETS:
            raise InputError(f"preset {name!r} is unknown; allowed are {', '.join(PRESETS)}")
        return PRESETS[name]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for reports."""
        return asdict(self)


_DEFAULT = Settings()
PRESETS = {
    "fast": replace(
        _DEFAULT, deformable=replace(_DEFAULT.deformable, voxels=250_000, pooling=1, velocity_voxels=0)
    ),
    "default": _DEFAULT,
    "accurate": replace(_DEFAULT, deformable=replace(_DEFAULT.deformable, voxels=4_000_000)),
}
