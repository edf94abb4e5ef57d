"""The calendar as an ONNX graph: seconds since 1970 in, the parts of a datetime out.

The date is computed from the number of the day in whole numbers, by the method of Howard Hinnant
(https://howardhinnant.github.io/date_algorithms.html, `civil_from_days`): years begin in March,
and 400 years have 146,097 days.
"""

from typing import Any

import numpy as np
from onnx import TensorProto

from models.data.datetimes import PARTS
from models.data.encoding.onnx_builder import Graph

_ERA_DAYS = 146_097  # of 400 years
_ERAS = 100  # added, since ONNX divides towards zero: days before the year 0 stay positive
_TO_MARCH = 719_468  # days from 0000-03-01 to 1970-01-01
_TO_MONDAY = 3  # days from a Monday to 1970-01-01, a Thursday


def calendar(graph: Graph, seconds: list[str]) -> str:
    """Add the nodes of `datetimes.expand` for datetimes, each double [N], NaN for missing.

    Return the name of their parts, double [N, 5 per datetime], bit for bit those of `expand`.
    """
    whole = _Whole(graph)
    joined = graph.side_by_side(seconds, "seconds")
    missing = graph.add("IsNaN", [joined], "seconds_missing")
    zero = graph.constant("epoch", 0.0, np.float64)
    known = graph.add("Where", [missing, zero, joined], "seconds_known")
    day = graph.constant("day_seconds", 86400.0, np.float64)
    days = graph.add("Floor", [graph.add("Div", [known, day], "days")], "whole_days")
    in_day = graph.add("Sub", [known, graph.add("Mul", [days, day], "midnight")], "in_day")
    hours = graph.add("Div", [in_day, graph.constant("hour_seconds", 3600.0, np.float64)], "hours")
    numbers = graph.add("Cast", [days], "day_numbers", to=TensorProto.INT64)
    # Whole weeks are added too: 20,871 weeks are 400 years.
    weekday = whole("Mod", whole("Add", numbers, _ERAS * _ERA_DAYS + _TO_MONDAY), 7)
    year, month, day_of_month = _civil(whole, numbers)
    axis = graph.constant("part_axis", [2], np.int64)
    parts = []
    for part, values in zip(PARTS, (year, month, day_of_month, weekday, hours), strict=True):
        if values != hours:
            values = graph.add("Cast", [values], f"{part}_double", to=TensorProto.DOUBLE)
        parts.append(graph.add("Unsqueeze", [values, axis], f"{part}_part"))
    stacked = graph.add("Concat", parts, "parts", axis=2)
    nothing = graph.constant("no_part", np.nan, np.float64)
    masked = graph.add("Unsqueeze", [missing, axis], "parts_missing")
    present = graph.add("Where", [masked, nothing, stacked], "parts_or_nan")
    shape = graph.constant("parts_shape", [-1, len(seconds) * len(PARTS)], np.int64)
    return graph.add("Reshape", [present, shape], "calendar")


class _Whole:
    """Arithmetic of int64 in a graph; `_Whole(graph)("Add", name, 3)` adds a node."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._count = 0

    def __call__(self, operator: str, left: str, right: Any) -> str:
        self._count += 1
        name = f"calendar_{self._count}"
        if not isinstance(right, str):
            right = self._graph.constant(f"{name}_by", right, np.int64)
        return self._graph.add(operator, [left, right], name)


def _civil(whole: _Whole, days: str) -> tuple[str, str, str]:
    """Return the names of year, month and day of the month, int64, of days since 1970."""
    since = whole("Add", days, _TO_MARCH + _ERAS * _ERA_DAYS)
    era = whole("Div", since, _ERA_DAYS)
    day_of_era = whole("Mod", since, _ERA_DAYS)
    # Without its leap days an era is 400 years of 365 days.
    without_leaps = whole("Sub", day_of_era, whole("Div", day_of_era, 1460))
    without_leaps = whole("Add", without_leaps, whole("Div", day_of_era, 36524))
    without_leaps = whole("Sub", without_leaps, whole("Div", day_of_era, 146_096))
    year_of_era = whole("Div", without_leaps, 365)
    first_day = whole("Mul", year_of_era, 365)
    first_day = whole("Add", first_day, whole("Div", year_of_era, 4))
    first_day = whole("Sub", first_day, whole("Div", year_of_era, 100))
    day_of_year = whole("Sub", day_of_era, first_day)
    from_march = whole("Div", whole("Add", whole("Mul", day_of_year, 5), 2), 153)
    month_start = whole("Div", whole("Add", whole("Mul", from_march, 153), 2), 5)
    day = whole("Add", whole("Sub", day_of_year, month_start), 1)
    month = whole("Add", whole("Mod", whole("Add", from_march, 2), 12), 1)
    # January and February, months 10 and 11 from March, belong to the next year.
    next_year = whole("Div", from_march, 10)
    year = whole("Add", year_of_era, whole("Mul", era, 400))
    year = whole("Sub", whole("Add", year, next_year), 400 * _ERAS)
    return year, month, day
