"""One network on more and more rows, by the trainer alone and through `POST /tune`."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tuning import processes, service
from benchmarks.tuning.rows import Array, Fold, save
from benchmarks.tuning.task import Task

FEATURES, LAYERS, EPOCHS, BATCH = 20, (256, 128), 2, 256
_VALIDATION_SHARE = 5  # every fifth row
_MODULES = "benchmarks.tuning.contestants"


def grow_rows(counts: Sequence[int], most_served: int) -> list[dict[str, Any]]:
    """Seconds of one trial on so many rows; through the service up to `most_served` rows."""
    found = []
    with service.running() as running:
        for count in counts:
            x, y = _table(count)
            trainer, floor = _alone(x, y)
            served = _served(running, x, y) if count <= most_served else None
            found.append({"rows": count, "trainer": trainer, "floor": floor, "service": served})
    return found


def _table(rows: int) -> tuple[Array, Array]:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((rows, FEATURES), dtype=np.float32)
    return x, np.sin(x).sum(axis=1)


def _alone(x: Array, y: Array) -> Iterator[float]:
    """Seconds of the trainer and of the matrix products alone, one process of one thread."""
    cut = len(x) - len(x) // _VALIDATION_SHARE
    fold = Fold(x[:cut], y[:cut], x[cut:], y[cut:], classes=1, target_scale=1.0)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npz"
        save(rows, [fold])
        task = Task("regression", str(rows), (LAYERS,), EPOCHS, BATCH, 1, folder, threads=1)
        for module in ("luthier_trainer", "matrix_products"):
            yield processes.measure(f"{_MODULES}.{module}", task)[0]


def _served(running: service.Service, x: Array, y: Array) -> float:
    """Seconds from the request until the version of its one trial is there."""
    request = {
        "model": "growth",
        "dataset": running.upload(x, y),
        "target": "y",
        "task": "regression",
        "search_space": {
            "num_layers": len(LAYERS),
            "units": {"type": "choice", "values": list(LAYERS), "per_layer": True},
            "batch_size": BATCH,
        },
        "strategy": {
            "name": "manual",
            "trials": [{"num_layers": len(LAYERS), "units": list(LAYERS)}],
        },
        "budget": {"epochs": EPOCHS},
        "evaluation": {"test_fraction": 0.0},
        "early_stopping": None,
        "reuse": False,
    }
    return running.tune(request)[0]
