"""What the tests of limits send."""

import io
from typing import Any

TUNE = {
    "model": "m",
    "dataset": "builtin:iris",
    "target": "target",
    "budget": {"max_trials": 2},
    "search_space": {"learning_rate": {"type": "float", "min": 0.001, "max": 0.1}},
}


def file(content: bytes, name: str) -> dict[str, Any]:
    """A form with one file, as the test client takes it."""
    return {"data": {"file": (io.BytesIO(content), name)}}
