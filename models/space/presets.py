"""The search spaces used where a request names no hyperparameter."""

from collections.abc import Mapping

_GENERAL: Mapping[str, object] = {
    "num_layers": {"type": "int", "min": 1, "max": 4},
    "units": {"type": "int", "min": 16, "max": 256, "step": 16},
    "activation": {"type": "choice", "values": ["relu", "selu"]},
    "dropout": {"type": "float", "min": 0.0, "max": 0.3, "step": 0.1},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
    "batch_size": {"type": "choice", "values": [32, 64]},
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
"""The document for each network."""
