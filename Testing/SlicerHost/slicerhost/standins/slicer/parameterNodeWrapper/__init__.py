"""Typed access to a module's parameter node, and its binding to widgets: a subset of Slicer's.

Types: nodes (also `| None`), bool, int, float, str, enumerations, paths, lists, tuples and dictionaries of
these, and packs of parameters. Values are kept as JSON in the node's parameters, nodes as node references.
"""

from .annotations import Choice, Decimals, Default, Maximum, Minimum, SingleStep, WithinRange
from .pack import isParameterPack, parameterPack
from .widgets import SlicerParameterNamePropertyName
from .wrapper import isParameterNodeWrapper, parameterNodeWrapper

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Maximum",
    "Minimum",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "WithinRange",
    "isParameterNodeWrapper",
    "isParameterPack",
    "parameterNodeWrapper",
    "parameterPack",
]
