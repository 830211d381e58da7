"""Optimisers, gradient clipping and learning-rate schedules, under PyTorch's names and with its numbers."""

from interchange.eager.optim.adam import Adam, AdamW
from interchange.eager.optim.adaptive import Adadelta, Adagrad, RMSprop
from interchange.eager.optim.optimizer import Optimizer, ParamGroup
from interchange.eager.optim.sgd import SGD

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Optimizer", "ParamGroup", "RMSprop"]
