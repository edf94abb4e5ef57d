"""From errors of many contenders to means, ranks, and the difference that counts.

Ranks, the Friedman test and the critical difference of Nemenyi's test are those of Demšar
(Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006): one error for each
contender and table, since the splits of a table are not independent.
"""

import math
from typing import Any

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range

LEVEL = 0.05  # of the tests
_LEAST_ERROR = 1e-12  # an error of zero has no ratio

Array = np.ndarray[Any, Any]


def ratios(errors: Array) -> Array:
    """Return errors (cases, contenders) divided by the least one of their case."""
    positive = np.maximum(errors, _LEAST_ERROR)
    return np.asarray(positive / positive.min(axis=1, keepdims=True))


def mean_ranks(errors: Array) -> Array:
    """Return the mean rank of each contender over errors (tables, contenders); 1 is the best.

    Equal errors share the mean of their ranks.
    """
    return np.asarray(rankdata(errors, axis=1).mean(axis=0))


def wins(errors: Array) -> Array:
    """Return on how many tables each contender has the least error; equal ones win both."""
    return np.asarray((errors == errors.min(axis=1, keepdims=True)).sum(axis=0))


def friedman(errors: Array) -> float | None:
    """Return the p-value that all contenders are alike; None for fewer than three, or no rank."""
    if errors.shape[1] < 3 or (errors == errors[:, :1]).all():
        return None
    return float(friedmanchisquare(*errors.T).pvalue)


def critical_difference(contenders: int, tables: int) -> float:
    """Return by how much two mean ranks must differ, by Nemenyi's test at the level of 5 %.

    It is q √(k (k + 1) / 6N), where q is the quantile of the studentized range of k contenders and
    infinitely many degrees of freedom, divided by √2 (Demšar 2006, section 3.2.2).
    """
    quantile = studentized_range.ppf(1 - LEVEL, contenders, math.inf) / math.sqrt(2)
    return float(quantile * math.sqrt(contenders * (contenders + 1) / (6 * tables)))
