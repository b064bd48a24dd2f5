"""Contrastive pretraining on synthetic pairs: training, evaluation and export of feature extractors."""

from SynthFoundationLib.pretraining.config import PretrainConfig, read_config
from SynthFoundationLib.pretraining.evaluate import evaluate_features
from SynthFoundationLib.pretraining.export import export
from SynthFoundationLib.pretraining.retrieval import retrieval
from SynthFoundationLib.pretraining.run import pretrain

__all__ = ["PretrainConfig", "evaluate_features", "export", "pretrain", "read_config", "retrieval"]
