"""The tables of the bench: mean regret and mean rank, with intervals of a bootstrap."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata

MILESTONES = (10, 25, 50, 100)
_RESAMPLES = 2000
_RUN = ("family", "at_once")
_CASE = ("problem", "seed")

Array = np.ndarray[Any, Any]


def print_tables(runs: Sequence[Mapping[str, Any]]) -> None:
    """Print two tables for each family and number of trials at once."""

    def group(run: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(run[each] for each in _RUN)

    for (family, at_once), members in groupby(sorted(runs, key=group), key=group):
        names, regrets, seconds = _complete(list(members))
        if regrets.size:
            ranks = np.apply_along_axis(rankdata, 1, regrets)
            title = f"{family}, {at_once} at once, {regrets.shape[0]} runs each"
            _print(f"{title}: regret", names, regrets, "{:.3f}", seconds)
            _print(f"{title}: rank", names, ranks, "{:.2f}", seconds)


def _complete(runs: Sequence[Mapping[str, Any]]) -> tuple[list[str], Array, list[float]]:
    """Return contestants, regrets of (case, contestant, milestone) and seconds a run.

    Only cases that every contestant has run take part: ranks compare equals.
    """
    names = list(dict.fromkeys(run["contestant"] for run in runs))
    cases: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for run in runs:
        cases.setdefault(tuple(run[each] for each in _CASE), {})[run["contestant"]] = run
    full = [case for case in cases.values() if len(case) == len(names)]
    regrets = np.array([[case[name]["regret"] for name in names] for case in full])
    seconds = [float(np.mean([case[name]["seconds"] for case in full])) for name in names]
    return names, regrets, seconds


def _print(
    title: str, names: Sequence[str], figures: Array, form: str, seconds: Sequence[float]
) -> None:
    table = Table(title=title)
    table.add_column("strategy")
    for milestone in MILESTONES:
        table.add_column(f"{milestone} trials")
    table.add_column("CPU s a run", justify="right")
    generator = np.random.default_rng(0)
    cases = len(figures)
    samples = generator.integers(cases, size=(_RESAMPLES, cases))
    means = figures.mean(axis=0)
    spread = np.stack([figures[each].mean(axis=0) for each in samples])
    low, high = np.quantile(spread, [0.025, 0.975], axis=0)
    for place, name in enumerate(names):
        cells = [
            f"{form} [{form}–{form}]".format(mean, below, above)
            for mean, below, above in zip(means[place], low[place], high[place], strict=True)
        ]
        table.add_row(name, *cells, f"{seconds[place]:.1f}")
    Console(width=130).print(table)
