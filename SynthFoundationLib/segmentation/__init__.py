"""Few-shot segmentation: label a few slices, or a few volumes, get the rest."""

from .metrics import LabelScore, evaluate_segmentation
from .result import Result
from .seeds import parse_slices
from .session import FewShotSession, segment
from .support import segment_from_support

__all__ = [
    "FewShotSession",
    "LabelScore",
    "Result",
    "evaluate_segmentation",
    "parse_slices",
    "segment",
    "segment_from_support",
]
