"""Stand-ins of Slicer's own widgets, published in the `slicer` namespace."""

import slicer

from slicerhost.qmrml import base, effects, markups, nodes, segments


def publish() -> None:
    """Put every stand-in where Slicer has it: into the namespace `slicer`."""
    for module in (base, nodes, markups, segments, effects):
        for name, value in vars(module).items():
            if name.startswith(("qMRML", "qSlicer")):
                setattr(slicer, name, value)
