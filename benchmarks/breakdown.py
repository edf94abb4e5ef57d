"""Measures where the time of a trial goes in the NumPy trainer, beside that of its products.

`python -m benchmarks.breakdown` trains the networks of a workload of `benchmarks.tuning` on one
thread with a stopwatch around each part, beside the bare matrix products of the same networks.
A part's time is its own: without that of the parts that it calls.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.tuning.contestants.luthier_trainer import training_data
from benchmarks.tuning.contestants.matrix_products import multiply
from benchmarks.tuning.preparing import draw_networks, prepare_rows
from benchmarks.tuning.rendering import Table, show
from benchmarks.tuning.results import describe_machine
from benchmarks.tuning.task import Fold, load
from benchmarks.tuning.workloads import WORKLOADS, Workload
from models.trials.process import prepare_process
from models.trials.trainers.base import Run
from models.trials.trainers.numpy import losses, network, optimizers
from models.trials.trainers.numpy import trainer as numpy_trainer
from models.trials.trainers.numpy.activations import ACTIVATIONS

PRODUCTS = "matrix products"
_REST = "everything else: gathering rows, the loop, the record"


class Stopwatch:
    """Adds up the own time of functions by the name of their part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]  # seconds of the parts called so far, by depth

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function; its time counts for `part`."""

        def run(*arguments: Any, **options: Any) -> Any:
            self._inner.append(0.0)
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                whole = time.perf_counter() - started
                self.seconds[part] += whole - self._inner.pop()
                self._inner[-1] += whole

        return run


class _TimedNumpy:
    """NumPy with a stopwatch around its matrix product."""

    def __init__(self, watch: Stopwatch) -> None:
        self.matmul = watch.timed(PRODUCTS, np.matmul)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class _Timed:
    """Any object with a stopwatch around some of its methods."""

    def __init__(self, watch: Stopwatch, inner: Any, parts: Mapping[str, str]) -> None:
        self._inner = inner
        for method, part in parts.items():
            setattr(self, method, watch.timed(part, getattr(inner, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextmanager
def watched(watch: Stopwatch) -> Iterator[None]:
    """The trainer's parts under a stopwatch until the end of the block."""
    loss = {"gradient": "loss", "figures": "loss", "answers": "loss"}
    create_loss = losses.create_loss

    def create_timed_loss(*arguments: Any) -> _Timed:
        return _Timed(watch, create_loss(*arguments), loss)

    activation = {"forward": "activations", "backward": "activations"}
    activations = {
        name: _Timed(watch, inner, {m: p for m, p in activation.items() if getattr(inner, m)})
        for name, inner in ACTIVATIONS.items()
    }
    create_optimizer = optimizers.create_optimizer

    def create_timed(*arguments: Any) -> _Timed:
        return _Timed(watch, create_optimizer(*arguments), {"update": "optimizer"})

    with ExitStack() as patches:

        def put(module: ModuleType | type, name: str, value: Any) -> None:
            patches.enter_context(patch.object(module, name, value))

        put(network, "np", _TimedNumpy(watch))
        put(network, "create_optimizer", create_timed)
        put(network, "ACTIVATIONS", activations)
        put(numpy_trainer, "create_loss", create_timed_loss)
        for part, name in (("initial weights", "initialize"), ("order of rows", "epoch_order")):
            put(numpy_trainer, name, watch.timed(part, getattr(numpy_trainer, name)))
        for method in ("learn", "descend", "infer"):
            whole = watch.timed("calls between the products", getattr(network.NetworkPass, method))
            put(network.NetworkPass, method, whole)
        yield


def measure(workload: Workload, fold: Fold, rounds: int) -> dict[str, Any]:
    """Seconds a trial by part, of the whole, of the whole without stopwatches, of the floor."""
    networks, watch = draw_networks(workload), Stopwatch()
    whole = plain = floor = 0.0
    train(workload, fold, ((16, 16),), epochs=1)
    for _ in range(rounds):
        plain += _seconds(lambda: train(workload, fold, networks))
        with watched(watch):
            whole += _seconds(lambda: train(workload, fold, networks))
        for layers in networks:
            floor += _seconds(lambda n=layers: multiply(n, fold, workload.batch, workload.epochs))
    trials = rounds * len(networks)
    parts = {part: seconds / trials for part, seconds in watch.seconds.items()}
    parts[_REST] = whole / trials - sum(parts.values())
    return {
        "parts": parts,
        "whole": whole / trials,
        "plain": plain / trials,
        "floor": floor / trials,
    }


def train(
    workload: Workload, fold: Fold, networks: tuple[tuple[int, ...], ...], epochs: int = 0
) -> None:
    """Train every network once."""
    data = training_data(fold, workload.kind)
    for seed, units in enumerate(networks):
        values = {"num_layers": len(units), "units": list(units), "batch_size": workload.batch}
        run = Run(0, 0, seed, "mlp", values, epochs or workload.epochs)
        numpy_trainer.NumpyTrainer().train([run], [data])


def _seconds(function: Callable[[], None]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def page(workload: Workload, found: dict[str, Any]) -> str:
    """The parts as Markdown, the longest first."""
    rows = [
        [part, f"{1000 * seconds:.2f}", f"{seconds / found['whole']:.1%}"]
        for part, seconds in sorted(found["parts"].items(), key=lambda item: -item[1])
    ]
    rows.append(["whole trial", f"{1000 * found['whole']:.2f}", "100%"])
    floor, plain = found["floor"], found["plain"]
    machine = describe_machine()
    return (
        f"{Table(['part', 'ms a trial', 'share'], rows).markdown()}\n\n"
        f"{workload.name}: {workload.title}; {workload.trials} trials on one thread."
        f" Without stopwatches a trial takes {1000 * plain:.2f} ms, its bare matrix products"
        f" {1000 * floor:.2f} ms: {plain / floor:.2f} times the floor."
        f" {machine['cpu']}, load {machine['load']} at the end.\n"
    )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--workload", choices=[*WORKLOADS], default="A")
    options.add_argument("--trials", type=int, default=16)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--markdown", action="store_true", help="print Markdown")
    chosen = options.parse_args()
    workload = WORKLOADS[chosen.workload].shortened(chosen.trials, None)
    prepare_process(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        prepare_rows(workload, path)
        found = measure(workload, load(str(path))[0], chosen.rounds)
    text = page(workload, found)
    if chosen.markdown:
        print(text, end="")
    else:
        show(text)


if __name__ == "__main__":
    main()
