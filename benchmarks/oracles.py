"""How long a strategy thinks about its next trial, and how good its trials are.

`python -m benchmarks.oracles` prints the milliseconds of the processor that one `ask` takes after
50, 200 and 500 trials of a mixed space of six dimensions, and what share of a job that is whose
trials take `--trial-seconds` each, one after the other. `--diverging N` instead tunes networks on
diabetes with N seeds where the learning rate may be up to 10, so that many trials diverge or score
badly. It prints how many fail, and the best score. `benchmarks.search` compares the results of
strategies.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.oracles.create import create_oracle
from models.oracles.oracle import Observation, Proposal
from models.oracles.strategy import STRATEGIES, Random, Strategy, decide
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
DIVERGING = {
    "num_layers": {"type": "int", "min": 1, "max": 3},
    "units": {"type": "int", "min": 8, "max": 64},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 10.0, "sampling": "log"},
}
TRIALS, EPOCHS = 40, 15

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


def trained() -> Score:
    """Validation loss of a network on diabetes."""
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


def report_diverging(names: Sequence[str], seeds: int) -> None:
    """Print the failures of each seed, and its best score, by optimizer and strategy."""
    score = trained()
    table = Table("optimizer", "strategy", "failed trials", "best loss, median", "best loss, each")
    for optimizer in ("sgd", "adam"):
        space = load_space({**DIVERGING, "optimizer": optimizer}, "mlp")
        for name in names:
            failures, bests = [], []
            for seed in range(seeds):
                strategy = decide(STRATEGIES[name](), space, TRIALS)  # type: ignore[call-arg]
                oracle = create_oracle(strategy, space, "min", seed, TRIALS, EPOCHS)
                scores = []
                while found := oracle.ask(1):
                    scores.append(score(found[0]))
                    oracle.tell(found[0].key, scores[-1])
                failures.append(sum(not math.isfinite(each) for each in scores))
                bests.append(min(scores))
            listed = " ".join(f"{best:,.0f}" for best in bests)
            row = f"{min(failures)} to {max(failures)}", f"{statistics.median(bests):,.0f}", listed
            table.add_row(optimizer, name, *row)
    Console(width=140).print(table)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--strategies", nargs="+", default=["random", "bayesian"])
    options.add_argument("--asks", type=int, default=20)
    options.add_argument("--trial-seconds", type=float, default=0.15)
    options.add_argument("--diverging", type=int, metavar="SEEDS")
    chosen = options.parse_args()
    if chosen.diverging:
        report_diverging(chosen.strategies, chosen.diverging)
    else:
        report_seconds(chosen.strategies, chosen.asks, chosen.trial_seconds)


if __name__ == "__main__":
    sys.exit(main())
