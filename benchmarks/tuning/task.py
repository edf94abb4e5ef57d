"""The rows and the trials that a process of a contestant gets."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Fold:
    """One training and its validation."""

    x_train: Array  # float32 (rows, features)
    y_train: Array  # float32 (rows,), or int64 (rows,) class numbers
    x_validation: Array
    y_validation: Array
    classes: int  # units of the last layer
    target_scale: float  # own units in one unit of a scaled target


def save(path: Path, folds: list[Fold]) -> None:
    """Write folds to an NPZ file."""
    arrays = {
        f"{number}.{name}": array
        for number, fold in enumerate(folds)
        for name, array in asdict(fold).items()
    }
    np.savez(path, **arrays)


def load(path: str) -> list[Fold]:
    """Read what `save` wrote."""
    with np.load(path) as stored:
        numbers = sorted({int(key.split(".")[0]) for key in stored})
        return [
            _fold({k.split(".")[1]: stored[k] for k in stored if int(k.split(".")[0]) == n})
            for n in numbers
        ]


def _fold(arrays: dict[str, Array]) -> Fold:
    classes, scale = int(arrays.pop("classes")), float(arrays.pop("target_scale"))
    return Fold(**arrays, classes=classes, target_scale=scale)


Layers = tuple[int, ...]
Train = Callable[[Layers, Fold, int], object]  # trains one network; the number is its seed


@dataclass(frozen=True)
class Task:
    """The trials to train, and how."""

    kind: str  # regression, binary or multiclass
    rows: str  # file that `load` reads
    networks: tuple[Layers, ...]
    epochs: int
    batch: int
    executions: int
    folder: str  # of this measurement alone
    threads: int | None = None  # of each process; None is the library's own choice
    processes: int = 1
    process: int = 0  # which one this is
    variant: str = ""  # of the contestant


class Turns:
    """Numbers 0, 1, …, each for the process that asks next, so that none is idle at the end."""

    def __init__(self, context: SpawnContext, count: int) -> None:
        self._next = context.Value("i", 0)
        self._count = count

    def __iter__(self) -> Iterator[int]:
        while True:
            with self._next.get_lock():
                number = self._next.value
                self._next.value += 1
            if number >= self._count:
                return
            yield number


def in_turns(task: Task, turns: Turns, train: Train) -> Callable[[], Any]:
    """Every execution and fold of the trials whose turn comes here, after one that warms up."""
    folds = load(task.rows)
    train((8,), folds[0], 0)

    def run() -> None:
        for number in turns:
            for execution in range(task.executions):
                for fold in folds:
                    train(task.networks[number], fold, number * task.executions + execution)

    return run


def part(networks: tuple[Layers, ...], process: int, processes: int) -> tuple[Layers, ...]:
    """Those of one process, dealt to and fro, so that sorted networks make equal parts."""
    rounds = [networks[start : start + processes] for start in range(0, len(networks), processes)]
    dealt = [dealing if number % 2 == 0 else dealing[::-1] for number, dealing in enumerate(rounds)]
    return tuple(dealing[process] for dealing in dealt if process < len(dealing))
