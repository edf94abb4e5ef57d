"""The contestants by name: what they are called, what they need, how they can use the cores."""

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.tuning import workloads

CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Way:
    """One way to use the cores; of several the fastest counts."""

    label: str
    processes: int
    threads: int | None  # of each process; None is the library's own choice
    variant: str = ""


@dataclass(frozen=True)
class Contestant:
    """One column of the table."""

    name: str
    title: str
    module: str  # in this package
    library: str | None  # that must be installed
    ways: tuple[Way, ...]
    is_slow: bool = False  # trains the workload's `slow_trials`

    @property
    def is_installed(self) -> bool:
        """Whether its library is there."""
        return self.library is None or importlib.util.find_spec(self.library) is not None


_EACH = Way(f"{CORES} processes of one thread", CORES, 1)
_BOTH = (Way("one process, the library's own threads", 1, None), _EACH)

_ALL = (
    Contestant(workloads.TRAINER, "Luthier trainer", "luthier_trainer", None, (_EACH,)),
    # The service has a measurement of its own; it uses the cores as it is installed.
    Contestant(
        workloads.SERVICE,
        "Luthier, `POST /tune`",
        "",
        None,
        (Way(f"{CORES} trial slots", CORES, None),),
    ),
    Contestant(
        workloads.KERAS_TUNER,
        "Keras Tuner `RandomSearch`",
        "keras_tuner_search",
        "keras_tuner",
        _BOTH,
        is_slow=True,
    ),
    Contestant(
        workloads.OPTUNA, "Optuna + Keras `fit`", "optuna_search", "optuna", _BOTH, is_slow=True
    ),
    Contestant(
        workloads.KERAS_LOOP, "Keras loop over folds", "keras_loop", "keras", _BOTH, is_slow=True
    ),
    Contestant(
        workloads.TORCH,
        "PyTorch loop",
        "torch_loop",
        "torch",
        (
            Way(f"{_EACH.label}, Adam", CORES, 1, "adam"),
            Way(f"{_EACH.label}, fused Adam", CORES, 1, "fused"),
        ),
    ),
    Contestant(workloads.SKLEARN, "scikit-learn MLP", "sklearn_loop", "sklearn", (_EACH,)),
    Contestant(workloads.FLOOR, "arithmetic floor", "matrix_products", None, (_EACH,)),
)
CONTESTANTS: Mapping[str, Contestant] = {contestant.name: contestant for contestant in _ALL}
