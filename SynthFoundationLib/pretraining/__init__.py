"""Contrastive pretraining on synthetic pairs: training, evaluation and export of feature extractors."""

from SynthFoundationLib.pretraining.config import PretrainConfig, read_config
from SynthFoundationLib.pretraining.retrieval import retrieval
from SynthFoundationLib.pretraining.run import pretrain

__all__ = ["PretrainConfig", "pretrain", "read_config", "retrieval"]
