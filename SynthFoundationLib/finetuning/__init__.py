"""A few labelled volumes make a segmenter for all others: training in minutes, prediction, one file."""

from .model import Segmenter
from .prediction import predict
from .training import finetune

__all__ = ["Segmenter", "finetune", "predict"]
