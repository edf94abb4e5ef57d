"""The default search space of each network, and the first trials of a search in it."""

from collections.abc import Mapping, Sequence

from models.space.hyperparameters import TrialValues

_GENERAL: Mapping[str, object] = {
    "numeric_encoding": {
        "type": "choice",
        "values": ["standard", "robust", "quantile", "piecewise"],
    },
    "num_layers": {"type": "int", "min": 1, "max": 4},
    "units": {"type": "int", "min": 32, "max": 256, "step": 2, "sampling": "log"},
    "activation": {"type": "choice", "values": ["relu", "selu", "silu"]},
    "dropout": {"type": "float", "min": 0.0, "max": 0.4, "step": 0.1},
    "learning_rate": {"type": "float", "min": 3e-4, "max": 1e-2, "sampling": "log"},
    "weight_decay": {"type": "choice", "values": [0.0, 0.01]},
    "lr_schedule": {"type": "choice", "values": ["constant", "cosine"]},
    "batch_size": {"type": "choice", "values": [32, 64, 128]},
}

# Affordable on a few cores: the widest network multiplies 27 million times for a 28×28 image.
_IMAGES: Mapping[str, object] = {
    "conv_blocks": {"type": "int", "min": 1, "max": 3},
    "filters": {
        "type": "int",
        "min": 16,
        "max": 64,
        "step": 2,
        "sampling": "log",
        "per_layer": True,
    },
    "kernel_size": {"type": "choice", "values": [3, 5]},
    "num_layers": {"type": "int", "min": 1, "max": 2},
    "units": {"type": "int", "min": 32, "max": 256, "step": 2, "sampling": "log"},
    "batch_normalization": {"type": "boolean"},
    "dropout": {"type": "float", "min": 0.0, "max": 0.4, "step": 0.1},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
    "batch_size": {"type": "choice", "values": [32, 64]},
}

DEFAULT_SPACES: Mapping[str, Mapping[str, object]] = {"mlp": _GENERAL, "cnn": _IMAGES}
"""The search space of each network for requests that name no hyperparameter."""

FIRST_TRIALS: Mapping[str, Sequence[TrialValues]] = {
    "mlp": (
        {
            "numeric_encoding": "piecewise",
            "num_layers": 4,
            "units": 256,
            "activation": "silu",
            "dropout": 0.2,
            "learning_rate": 0.00116,
            "weight_decay": 0.01,
            "lr_schedule": "cosine",
            "batch_size": 64,
        },
        {
            "numeric_encoding": "quantile",
            "num_layers": 3,
            "units": 128,
            "activation": "selu",
            "dropout": 0.4,
            "learning_rate": 0.0033,
            "weight_decay": 0.0,
            "lr_schedule": "cosine",
            "batch_size": 64,
        },
        {
            "numeric_encoding": "piecewise",
            "num_layers": 2,
            "units": 64,
            "activation": "relu",
            "dropout": 0.1,
            "learning_rate": 0.00094,
            "weight_decay": 0.01,
            "lr_schedule": "constant",
            "batch_size": 32,
        },
        {
            "numeric_encoding": "piecewise",
            "num_layers": 1,
            "units": 32,
            "activation": "selu",
            "dropout": 0.3,
            "learning_rate": 0.0033,
            "weight_decay": 0.01,
            "lr_schedule": "cosine",
            "batch_size": 32,
        },
        {
            "numeric_encoding": "quantile",
            "num_layers": 1,
            "units": 128,
            "activation": "silu",
            "dropout": 0.4,
            "learning_rate": 0.0062,
            "weight_decay": 0.0,
            "lr_schedule": "constant",
            "batch_size": 128,
        },
        {
            "numeric_encoding": "quantile",
            "num_layers": 3,
            "units": 128,
            "activation": "selu",
            "dropout": 0.2,
            "learning_rate": 0.0086,
            "weight_decay": 0.01,
            "lr_schedule": "cosine",
            "batch_size": 32,
        },
    )
}
"""Trials that a search of the default space begins with, the best one first.

`python -m benchmarks.first_trials` has learned them; see docs/decisions/0050.
"""
