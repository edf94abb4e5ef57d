"""The curves of a trial, put together from those of its runs."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

History = Mapping[str, list[float | None]]  # by name, one figure per epoch


def mean_history(
    histories: Sequence[Mapping[str, Sequence[float | None]]],
) -> dict[str, list[float | None]]:
    """Per epoch, the mean over the runs that reached it; None where a figure is not finite."""
    longest = max(len(history["loss"]) for history in histories)
    return {
        name: [
            _mean([history[name][epoch] for history in histories if epoch < len(history[name])])
            for epoch in range(longest)
        ]
        for name in histories[0]
    }


def _mean(figures: Sequence[float | None]) -> float | None:
    finite = [figure for figure in figures if figure is not None and math.isfinite(figure)]
    return fmean(finite) if len(finite) == len(figures) else None
