"""The objective of a request, and advice for one that asks for several metrics at once."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

ADVICE = (
    "One metric ranks the trials: a weighted sum of metrics would be ranked by whichever has the"
    " largest numbers. Tune one of them; every trial reports all the others in `metrics`"
    " (GET /tune/{id}/trials?sort=score), and a further job with another objective takes over"
    " the results of equal trials without training them again."
)
_NAMES = ("metrics", "weights", "weight")


class ObjectiveField(ma.fields.Nested):
    """One metric and its direction; a weighted sum is refused with advice."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any
    ) -> Any:
        if _asks_for_several(value):
            raise ma.ValidationError(ADVICE)
        return super()._deserialize(value, attr, data, partial, **kwargs)


def _asks_for_several(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(name in value for name in _NAMES) or _is_sum(value.get("metric"))
    return _is_sum(value)


def _is_sum(metric: Any) -> bool:
    if isinstance(metric, str):
        return "+" in metric or "*" in metric
    return isinstance(metric, Mapping) or (isinstance(metric, list) and len(metric) > 1)
