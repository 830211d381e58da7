"""Optimisers, gradient clipping and learning-rate schedules, under PyTorch's names and with its numbers."""

from interchange.eager.optim.adam import Adam, AdamW
from interchange.eager.optim.adaptive import Adadelta, Adagrad, RMSprop
from interchange.eager.optim.clip import clip_grad_norm_, clip_grad_value_
from interchange.eager.optim.optimizer import Optimizer, ParamGroup
from interchange.eager.optim.schedules import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
    warmup,
)
from interchange.eager.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "Optimizer",
    "ParamGroup",
    "PolynomialLR",
    "RMSprop",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_value_",
    "warmup",
]
