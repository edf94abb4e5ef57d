"""Which part of an axis the scores of trials take up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.trials.objective import Objective

_DECADES_FOR_LOG = 1.5
_FENCE = 3.0  # interquartile ranges: Tukey, Exploratory Data Analysis, 1977, "far out"


@dataclass(frozen=True, slots=True)
class ScoreRange:
    """The scores worth looking at; trials that nearly diverged lie beyond."""

    low: float
    high: float
    is_log: bool
    beyond: int  # scores outside

    @property
    def limits(self) -> tuple[float, float]:
        """The same with a margin on both sides, also where all scores are equal."""
        if self.is_log:
            factor = (self.high / self.low) ** 0.06
            return self.low / factor, self.high * factor
        margin = 0.06 * (self.high - self.low) or 0.05 * abs(self.high) or 0.5
        return self.low - margin, self.high + margin

    def clip(self, score: float) -> float:
        """The score, or the end of the range that it lies beyond."""
        return min(max(score, self.low), self.high)


def score_range(
    scores: Sequence[float], objective: Objective, *, whole: bool = False
) -> ScoreRange:
    """The range from the best of `scores`, at least one, to the worst that is not far out.

    With `whole` it is that of all scores. Positive scores that spread over more than 1.5 decades
    want a logarithmic axis.
    """
    values = np.array(scores, dtype=np.float64)
    is_log = bool(values.min() > 0) and np.log10(values.max() / values.min()) > _DECADES_FOR_LOG
    places = np.log10(values) if is_log else values
    first, third = np.percentile(places, [25, 75])
    reach = _FENCE * (third - first)
    inside = np.ones(len(values), dtype=bool)
    if reach > 0 and not whole:
        inside = places <= third + reach if objective.is_minimized else places >= first - reach
    kept = values[inside]
    low, high = float(kept.min()), float(kept.max())
    if is_log and np.log10(high / low) <= _DECADES_FOR_LOG:
        is_log = False
    return ScoreRange(low, high, bool(is_log), int((~inside).sum()))
