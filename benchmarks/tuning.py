"""Seconds of training a trial, by trainer, against what it would be done by otherwise.

`python -m benchmarks.tuning` trains the same random networks (diabetes, 2–5 layers of 64–512 units,
20 epochs of batches of 32) with every trainer in turn, on one thread, and does their bare matrix
products. The rounds alternate, since the machine may be busy; the figure is the median round. On a
machine that others use, `--clock cpu` counts the seconds that the processor worked instead.
Peers run in an environment of their own: `--torch PYTHON` and `--keras-tuner PYTHON` name an
interpreter that has the library.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from models.data.tasks import Task
from models.networks.outputs import Outputs
from models.trials.process import prepare_process, warm_up
from models.trials.trainer import Run, Trainer, TrainingData

EPOCHS, BATCH = 20, 32
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PEERS = Path(__file__).parent / "tuning_peers.py"

Networks = list[list[int]]


def draw_networks(count: int, seed: int = 0) -> Networks:
    """The widths of every layer of `count` networks."""
    draw = random.Random(seed)
    return [[draw.randrange(64, 513, 32) for _ in range(draw.randint(2, 5))] for _ in range(count)]


def diabetes() -> TrainingData:
    """The 442 rows, scaled, a fifth of them to validate on."""
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import scale

    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = scale(x)[order].astype(np.float32), scale(y)[order].astype(np.float32)
    cut = len(x) * 4 // 5
    return TrainingData(x[:cut], y[:cut], x[cut:], y[cut:], Outputs.of(Task.REGRESSION))


def train(trainer: Trainer, networks: Networks, data: TrainingData, clock: str) -> float:
    """Mean seconds a trial."""
    started = CLOCKS[clock]()
    for seed, units in enumerate(networks):
        values = {"num_layers": len(units), "units": units, "batch_size": BATCH}
        trainer.train([Run(0, 0, seed, "mlp", values, EPOCHS)], [data])
    return (CLOCKS[clock]() - started) / len(networks)


def products(networks: Networks, data: TrainingData, clock: str) -> float:
    """Mean seconds of the matrix products alone: what no arithmetic in NumPy can do without."""
    rows, features = data.x_train.shape
    steps = EPOCHS * -(-rows // BATCH)
    total = 0.0
    for units in networks:
        sizes = [features, *units, 1]
        layers = [_layer(*pair) for pair in pairwise(sizes)]
        started = CLOCKS[clock]()
        for _ in range(steps):
            for number, (weights, signal, slope) in enumerate(layers):
                np.matmul(weights.T, signal)
                np.matmul(signal, slope.T)
                if number:
                    np.matmul(weights, slope)
        total += CLOCKS[clock]() - started
    return total / len(networks)


def _layer(inputs: int, units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return tuple(
        draw.standard_normal(shape, dtype=np.float32)
        for shape in ((inputs, units), (inputs, BATCH), (units, BATCH))
    )


def measure_here(networks: Networks, clock: str) -> dict[str, float]:
    """Seconds a trial by contender, in a process that is ready to train."""
    from models.trials.keras_trainer import KerasTrainer
    from models.trials.numpy_trainer import NumpyTrainer

    data = diabetes()
    contenders: dict[str, Callable[[], float]] = {
        "matrix products alone": lambda: products(networks, data, clock),
        "NumPy trainer": lambda: train(NumpyTrainer(), networks, data, clock),
        "Keras trainer": lambda: train(KerasTrainer(), networks[:4], data, clock),
    }
    return {name: contender() for name, contender in contenders.items()}


def measure_peer(peer: str, interpreter: str, networks: Networks, clock: str) -> float:
    """Seconds a trial of a library that has its own environment."""
    task = json.dumps(
        {"peer": peer, "networks": networks, "epochs": EPOCHS, "batch": BATCH, "clock": clock}
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [interpreter, str(PEERS)],
        input=task,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return float(done.stdout.splitlines()[-1])


def measure_side_by_side(networks: Networks, processes: int) -> float:
    """Seconds a trial when every core trains: the whole time divided by the trials."""
    with ProcessPoolExecutor(processes, get_context("spawn"), _prepare) as pool:
        list(pool.map(_share, [networks[:1]] * processes))
        started = time.perf_counter()
        list(pool.map(_share, [networks[core::processes] for core in range(processes)]))
        return (time.perf_counter() - started) / len(networks)


def _prepare() -> None:
    prepare_process(1)
    warm_up()


def _share(networks: Networks) -> float:
    from models.trials.numpy_trainer import NumpyTrainer

    return train(NumpyTrainer(), networks, diabetes(), "wall")


def report(figures: dict[str, list[float]], networks: Networks) -> None:
    """Print the table."""
    medians = {name: statistics.median(rounds) for name, rounds in figures.items()}
    fast = medians["NumPy trainer"]
    table = Table(title=f"{len(networks)} trials, {EPOCHS} epochs, {platform.processor()}")
    for heading in ("", "seconds a trial", "lowest", "highest", "× NumPy trainer"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, seconds in sorted(medians.items(), key=lambda item: item[1]):
        rounds = figures[name]
        table.add_row(
            name,
            f"{seconds:.3f}",
            f"{min(rounds):.3f}",
            f"{max(rounds):.3f}",
            f"{seconds / fast:.2f}",
        )
    Console(width=100).print(table)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=16)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--clock", choices=CLOCKS, default="wall")
    options.add_argument("--torch", help="interpreter that has torch")
    options.add_argument("--keras-tuner", help="interpreter that has keras_tuner")
    options.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    chosen = options.parse_args()
    networks = draw_networks(chosen.trials)
    figures: dict[str, list[float]] = {}
    with ProcessPoolExecutor(1, get_context("spawn"), _prepare) as pool:
        for _ in range(chosen.rounds):
            for name, seconds in pool.submit(measure_here, networks, chosen.clock).result().items():
                figures.setdefault(name, []).append(seconds)
            if chosen.torch:
                seconds = measure_peer("torch", chosen.torch, networks, chosen.clock)
                figures.setdefault("PyTorch loop", []).append(seconds)
            if chosen.keras_tuner:
                seconds = measure_peer(
                    "keras_tuner", chosen.keras_tuner, networks[:4], chosen.clock
                )
                figures.setdefault("Keras Tuner RandomSearch", []).append(seconds)
            if chosen.clock == "wall":
                side = measure_side_by_side(networks, chosen.cores)
                figures.setdefault(f"NumPy trainer, {chosen.cores} at once", []).append(side)
    report(figures, networks)


if __name__ == "__main__":
    sys.exit(main())
