"""How long a strategy thinks about its next trial, and how good its trials are.

`python -m benchmarks.oracles` prints the milliseconds of the processor that one `ask` takes after
50, 200 and 500 trials of a mixed space of six dimensions, and what share of a job that is whose
trials take `--trial-seconds` each, one after the other. `--quality N` instead minimises an analytic
function and the validation error on diabetes with N seeds, and prints the best score after some
numbers of trials, with one trial under way and with four.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from models.oracles.create import create_oracle
from models.oracles.oracle import Observation, Oracle, Proposal
from models.oracles.strategy import STRATEGIES, Bayesian, Random, Strategy
from models.space.schema import load_space
from models.space.space import SearchSpace

SIZES = (50, 200, 500)
MIXED = {
    "num_layers": {"type": "int", "min": 1, "max": 4},
    "units": {"type": "int", "min": 16, "max": 256, "step": 16},
    "activation": {"type": "choice", "values": ["relu", "selu", "tanh"]},
    "dropout": {"type": "float", "min": 0.0, "max": 0.6},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"},
    "l2": {"type": "float", "min": 1e-6, "max": 1e-1, "sampling": "log"},
}
MILESTONES = (25, 40, 55, 70)

Score = Callable[[Proposal], float]


def analytic(proposal: Proposal) -> float:
    """A valley with ripples over the mixed space; 0 at its best."""
    values = proposal.values
    rate = (math.log10(values["learning_rate"]) + 2.6) / 3
    weight = (math.log10(values["l2"]) + 4.3) / 5
    width = (values["units"] - 144) / 240
    depth = (values["num_layers"] - 3) / 3
    kind = {"relu": 0.05, "selu": 0.0, "tanh": 0.12}[values["activation"]]
    bowl = 2 * rate**2 + weight**2 + width**2 + 0.5 * depth**2 + (values["dropout"] - 0.21) ** 2
    return bowl + kind + 0.02 * (1 - math.cos(12 * rate))


def told_by(size: int, space: SearchSpace, seed: int) -> list[Observation]:
    """`size` scored trials at random."""
    drawn = create_oracle(Random(), space, "min", seed, size, 9).ask(size)
    return [Observation(f"given-{p.key}", p.values, analytic(p)) for p in drawn]


def seconds_an_ask(strategy: Strategy, space: SearchSpace, size: int, asks: int) -> float:
    """Processor seconds of one ask after `size` trials: the mean of some that go on from there."""
    history = told_by(size, space, seed=size)
    oracle = create_oracle(strategy, space, "min", 1, size + asks + 1, 9, history=history)
    oracle.ask(1)
    started = time.process_time()
    for _ in range(asks):
        (proposal,) = oracle.ask(1)
        oracle.tell(proposal.key, analytic(proposal))
    return (time.process_time() - started) / asks


def best_so_far(oracle: Oracle, score: Score, trials: int, at_once: int) -> list[float]:
    """The best score after each trial, with `at_once` trials under way."""
    running: list[Proposal] = []
    scores: list[float] = []
    while len(scores) < trials:
        running += oracle.ask(at_once - len(running))
        proposal = running.pop(0)
        scores.append(score(proposal))
        oracle.tell(proposal.key, scores[-1])
    return [float(best) for best in np.minimum.accumulate(scores)]


def trained() -> Score:
    """Validation error of a network on diabetes, relative to always predicting the mean."""
    from benchmarks.tuning.contestants.luthier_trainer import training_data
    from benchmarks.tuning.preparing import prepare_rows
    from benchmarks.tuning.task import load
    from benchmarks.tuning.workloads import WORKLOADS
    from models.trials.trainers.base import Run
    from models.trials.trainers.numpy.trainer import NumpyTrainer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        prepare_rows(WORKLOADS["A"], path)
        (fold,) = load(str(path))
    data, trainer = training_data(fold, WORKLOADS["A"].kind), NumpyTrainer()

    def score(proposal: Proposal) -> float:
        (result,) = trainer.train([Run(0, 0, 0, "mlp", {**proposal.values}, 15)], [data])
        losses = [loss for loss in result.history["val_loss"] if math.isfinite(loss)]
        return min(losses, default=math.inf)

    return score


def report_seconds(names: Sequence[str], asks: int, trial_seconds: float) -> None:
    """Print the seconds an ask."""
    space = load_space(MIXED, "mlp")
    table = Table(title=f"ms an ask, and its share of a job whose trials take {trial_seconds:g} s")
    table.add_column("strategy")
    for size in SIZES:
        table.add_column(f"{size} trials", justify="right")
    for name in names:
        cells = []
        for size in SIZES:
            seconds = seconds_an_ask(STRATEGIES[name](), space, size, asks)  # type: ignore[call-arg]
            cells.append(f"{1000 * seconds:.1f} ({seconds / (seconds + trial_seconds):.0%})")
        table.add_row(name, *cells)
    Console(width=100).print(table)


def report_quality(seeds: int, functions: Sequence[str]) -> None:
    """Print the best scores: the median of the seeds, and the mean."""
    space = load_space(MIXED, "mlp")
    known: dict[str, Callable[[], Score]] = {"analytic": lambda: analytic, "diabetes": trained}
    table = Table(title=f"best score so far, median (mean) of {seeds} seeds")
    for heading in ("function", "strategy", "at once"):
        table.add_column(heading)
    for milestone in MILESTONES:
        table.add_column(f"after {milestone}", justify="right")
    for function in functions:
        score = known[function]()
        for strategy, at_once in ((Random(), 1), (Bayesian(), 1), (Bayesian(), 4)):
            runs = [
                best_so_far(
                    create_oracle(strategy, space, "min", seed, MILESTONES[-1], 9),
                    score,
                    MILESTONES[-1],
                    at_once,
                )
                for seed in range(seeds)
            ]
            cells = []
            for milestone in MILESTONES:
                bests = [run[milestone - 1] for run in runs]
                cells.append(f"{statistics.median(bests):.4f} ({statistics.mean(bests):.4f})")
            table.add_row(function, strategy.name, str(at_once), *cells)
    Console(width=120).print(table)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--strategies", nargs="+", default=["random", "bayesian"])
    options.add_argument("--asks", type=int, default=20)
    options.add_argument("--trial-seconds", type=float, default=0.15)
    options.add_argument("--quality", type=int, metavar="SEEDS")
    options.add_argument("--functions", nargs="+", default=["analytic", "diabetes"])
    chosen = options.parse_args()
    if chosen.quality:
        report_quality(chosen.quality, chosen.functions)
    else:
        report_seconds(chosen.strategies, chosen.asks, chosen.trial_seconds)


if __name__ == "__main__":
    sys.exit(main())
