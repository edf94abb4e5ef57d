"""What is trained, and how much faster than which baseline Luthier has to be."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

SEED = 0  # of the networks drawn and of the division of the rows

Array = np.ndarray[Any, Any]
Space = Mapping[str, Any]


@dataclass(frozen=True)
class Bar:
    """`contestant` must need at most a `times`-th of the seconds a trial of `baseline`."""

    contestant: str
    baseline: str
    times: float
    is_aim: bool = False  # wished for, not required


@dataclass(frozen=True)
class Workload:
    """One row of the table."""

    name: str
    title: str
    table: Callable[[], tuple[Array, Array]]  # features and targets
    kind: str  # regression, binary or multiclass
    space: Space  # as in `POST /tune`
    epochs: int
    batch: int
    trials: int
    slow_trials: int  # of the contestants that need seconds for each
    evaluation: Mapping[str, Any]
    contestants: tuple[str, ...]
    bars: tuple[Bar, ...]
    executions: int = 1

    def among(self, contestants: Sequence[str]) -> "Workload":
        """The same with those alone of its contestants."""
        kept = tuple(name for name in self.contestants if name in contestants)
        return replace(self, contestants=kept)

    def shortened(self, trials: int | None, epochs: int | None) -> "Workload":
        """The same with at most so many trials and epochs."""
        trials = min(self.trials, trials or self.trials)
        return replace(
            self,
            trials=trials,
            slow_trials=min(self.slow_trials, trials),
            epochs=min(self.epochs, epochs or self.epochs),
        )


def diabetes() -> tuple[Array, Array]:
    """The 442 rows of scikit-learn."""
    from sklearn.datasets import load_diabetes

    return load_diabetes(return_X_y=True)


def xor() -> tuple[Array, Array]:
    """Its four rows."""
    return np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


def images() -> tuple[Array, Array]:
    """10,000 images of the shape of MNIST: ten patterns under noise."""
    draw = np.random.default_rng(SEED)
    y = draw.integers(0, 10, 10_000)
    patterns = draw.integers(0, 128, (10, 28, 28))
    return (patterns[y] + draw.integers(0, 128, (10_000, 28, 28))).astype(np.uint8), y


def _space(batch: int, layers: tuple[int, int], units: tuple[int, int], per_layer: bool) -> Space:
    return {
        "num_layers": {"type": "int", "min": layers[0], "max": layers[1]},
        "units": {
            "type": "int",
            "min": units[0],
            "max": units[1],
            "step": 32,
            "per_layer": per_layer,
        },
        "batch_size": batch,
    }


TRAINER, SERVICE, FLOOR = "trainer", "service", "floor"
KERAS_TUNER, OPTUNA, KERAS_LOOP = "keras_tuner", "optuna", "keras_loop"
TORCH, SKLEARN = "torch", "sklearn"
_OURS = (TRAINER, SERVICE)
_SEARCHES = (*_OURS, KERAS_TUNER, OPTUNA, TORCH, SKLEARN, FLOOR)

_A = Workload(
    name="A",
    title="diabetes, 442 rows, 20 epochs, batch 32, 2–5 layers × 64–512 units",
    table=diabetes,
    kind="regression",
    space=_space(32, (2, 5), (64, 512), per_layer=True),
    epochs=20,
    batch=32,
    trials=64,
    slow_trials=4,
    evaluation={"method": "holdout", "validation_fraction": 0.2, "test_fraction": 0.0},
    contestants=_SEARCHES,
    bars=(
        Bar(TRAINER, KERAS_TUNER, 20),
        Bar(TRAINER, KERAS_TUNER, 30, is_aim=True),
        Bar(TRAINER, TORCH, 1.2),
        Bar(SERVICE, KERAS_TUNER, 15),
    ),
)

WORKLOADS: Mapping[str, Workload] = {
    "A": _A,
    "B": Workload(
        name="B",
        title="XOR, 4 rows, 100 epochs, 2–20 layers × 32–512 units, 2 executions a trial",
        table=xor,
        kind="binary",
        space=_space(4, (2, 20), (32, 512), per_layer=False),
        epochs=100,
        batch=4,
        trials=10,
        slow_trials=2,
        evaluation={"method": "train", "test_fraction": 0.0},
        contestants=_SEARCHES,
        bars=(Bar(TRAINER, KERAS_TUNER, 50),),
        executions=2,
    ),
    "C": Workload(
        name="C",
        title="10,000 × 784, 5 epochs, batch 128, 1–3 layers × 32–512 units",
        table=images,
        kind="multiclass",
        space=_space(128, (1, 3), (32, 512), per_layer=True),
        epochs=5,
        batch=128,
        trials=8,
        slow_trials=4,
        evaluation={"method": "holdout", "validation_fraction": 0.2, "test_fraction": 0.0},
        contestants=_SEARCHES,
        bars=(Bar(TRAINER, KERAS_TUNER, 1.5),),
    ),
    "D": replace(
        _A,
        name="D",
        title="A with 5 folds",
        trials=8,
        slow_trials=2,
        evaluation={"method": "cv", "folds": 5, "test_fraction": 0.0},
        contestants=(*_OURS, KERAS_LOOP, TORCH, SKLEARN, FLOOR),
        bars=(Bar(TRAINER, KERAS_LOOP, 20),),
    ),
}


def representative(networks: tuple[tuple[int, ...], ...], count: int) -> tuple[int, ...]:
    """The numbers of `count` networks that stand for all: the middle ones of `count` groups.

    The groups are equally large, by the number of weights between hidden layers.
    """
    order = sorted(range(len(networks)), key=lambda number: (_weights(networks[number]), number))
    return tuple(order[(2 * group + 1) * len(order) // (2 * count)] for group in range(count))


def _weights(units: tuple[int, ...]) -> int:
    return sum(before * after for before, after in itertools.pairwise(units)) + sum(units)
