"""Bodies that the OpenAPI document shows; a test sends and checks them."""

from typing import Any

TUNE: dict[str, Any] = {
    "model": "diabetes",
    "dataset": "builtin:diabetes",
    "target": "target",
    "search_space": {
        "num_layers": {"type": "int", "min": 2, "max": 5},
        "units": {"type": "int", "min": 64, "max": 512, "step": 32, "per_layer": True},
        "activation": {"type": "choice", "values": ["selu", "relu"]},
        "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
        "momentum": {"type": "float", "min": 0.0, "max": 0.99, "when": {"optimizer": ["sgd"]}},
        "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
        "kernel_initializer": "glorot_uniform",
    },
    "strategy": {"name": "random"},
    "objective": {"metric": "val_loss"},
    "budget": {"max_trials": 20, "epochs": 50},
    "seed": 42,
}

DATASET: dict[str, Any] = {
    "records": [
        {"city": "Graz", "rooms": 3, "balcony": True, "price": 210.5},
        {"city": "Wien", "rooms": 2, "balcony": None, "price": 305.0},
    ],
    "name": "flats",
}

PREDICT: dict[str, Any] = {
    "model": "flats",
    "instances": [{"city": "Graz", "rooms": 3, "balcony": None}, ["Wien", 2, True]],
}

PREDICTION: dict[str, Any] = {"model": "flats", "version": 1, "predictions": [214.2, 298.7]}

ALIAS: dict[str, Any] = {"version": 2}

PROBLEM: dict[str, Any] = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "search_space.units.min: Must not be above max.",
    "instance": "/tune",
    "error": "search_space.units.min: Must not be above max.",
    "errors": {"search_space.units.min": ["Must not be above max."]},
}
