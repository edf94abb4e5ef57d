"""`python -m benchmarks.search`: run the contestants, keep every run, and print tables.

`--out` keeps one line of JSON for each run. Runs that are there already are not repeated, so a
bench that was interrupted goes on, and `--seeds 0` only prints.
"""

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.search.contestants import Contestant, contestants
from benchmarks.search.problems import FAMILIES, Problem, problems
from benchmarks.search.tables import MILESTONES, print_tables

TRIALS = MILESTONES[-1]
DEFAULTS = ["random", "bayesian", "tpe", "optuna-tpe", "optuna-gp"]  # `auto` is one of ours


def regrets(problem: Problem, search: Contestant, seed: int, at_once: int) -> list[float]:
    """Return the regret of the trial that looks best, after each trial.

    `at_once` trials run at a time. They take equally long on average, so any of them may end next.
    """
    generator = np.random.default_rng(seed)
    running: list[tuple[Any, Any]] = []
    best, found = np.inf, np.inf
    course: list[float] = []
    while len(course) < TRIALS:
        while len(running) < min(at_once, TRIALS - len(course)):
            running.append(search.ask())
        key, flat = running.pop(int(generator.integers(len(running))))
        loss = problem.observe(flat, generator)
        search.tell(key, loss)
        if loss < best:
            best, found = loss, problem.regret(problem.truth(flat))
        course.append(float(found))
    return course


def outstanding(
    chosen: argparse.Namespace, done: set[tuple[Any, ...]]
) -> Iterator[tuple[Problem, str, int, int]]:
    """Return the runs that are wanted and not done, seed by seed."""
    found = [
        each
        for family in chosen.families
        for each in problems(family, chosen.lcbench, chosen.noisy)
    ]
    for seed in range(chosen.seeds):
        for at_once in chosen.at_once:
            for name in chosen.contestants:
                for problem in found:
                    if (problem.family, problem.name, name, at_once, seed) not in done:
                        yield problem, name, at_once, seed


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=Path(".luthier-bench-search.jsonl"))
    options.add_argument("--lcbench", type=Path, help="folder of the surrogate's files")
    options.add_argument("--noisy", action="store_true", help="one recorded training each")
    options.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES[:2])
    options.add_argument("--contestants", nargs="+", choices=contestants(), default=DEFAULTS)
    options.add_argument("--at-once", nargs="+", type=int, default=[1])
    options.add_argument("--seeds", type=int, default=20)
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    lines = chosen.out.read_text("utf-8").splitlines() if chosen.out.exists() else []
    runs = [json.loads(line) for line in lines]
    done = {(r["family"], r["problem"], r["contestant"], r["at_once"], r["seed"]) for r in runs}
    with threadpool_limits(1), chosen.out.open("a", encoding="utf-8") as out:
        for problem, name, at_once, seed in outstanding(chosen, done) if chosen.seeds else ():
            started = time.process_time()
            search = contestants()[name](problem.space, seed, TRIALS)
            course = regrets(problem, search, seed, at_once)
            run = {
                "family": problem.family,
                "problem": problem.name,
                "contestant": name,
                "at_once": at_once,
                "seed": seed,
                "seconds": round(time.process_time() - started, 3),
                "regret": [round(course[each - 1], 6) for each in MILESTONES],
            }
            runs.append(run)
            out.write(json.dumps(run) + "\n")
            out.flush()
    print_tables(runs)


if __name__ == "__main__":
    main()
