"""Luthier's default request with one part of it taken out, or one added, for `--variant`."""

from collections.abc import Mapping
from typing import Any

from models.space.defaults import DEFAULT_SPACES

_SPACE = DEFAULT_SPACES["mlp"]
_RATE: Mapping[str, Any] = _SPACE["learning_rate"]  # type: ignore[assignment]
# First trials are those of the default space and its parts only; this one is a little smaller.
_OTHER_RATE = {"learning_rate": _RATE | {"min": 1.03 * _RATE["min"]}}
_FIFTY_EPOCHS = {"budget": {"epochs": 50}, "early_stopping": {"patience": 5}}


def _without(*names: str) -> dict[str, object]:
    return {name: entry for name, entry in _SPACE.items() if name not in names}


VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "one network": {"ensemble": 1},
    "no refit, no folds": {"refit": False},
    "standard numbers": {"search_space": _without("numeric_encoding")},
    "50 epochs, constant rate, no decay": {
        **_FIFTY_EPOCHS,
        "search_space": _without("lr_schedule", "weight_decay"),
    },
    "no first trials": {"search_space": {**_SPACE, **_OTHER_RATE}},
    "none of these": {
        **_FIFTY_EPOCHS,
        "ensemble": 1,
        "refit": False,
        "search_space": _without("numeric_encoding", "lr_schedule", "weight_decay") | _OTHER_RATE,
    },
    "TabM members, no first trials": {
        "search_space": {**_SPACE, **_OTHER_RATE, "members": {"type": "choice", "values": [1, 8]}},
    },
}
"""More of a request, by the name of the variant."""
