"""The rule that stops hopeless trials, as a request gives it."""

from dataclasses import fields
from typing import Any

import marshmallow as ma
from marshmallow.validate import OneOf, Range

from models.fields import StrictInteger, described
from models.jobs.pruning import RULES, AshaRule, MedianRule, Pruning


class PruningSchema(ma.Schema):
    """Which running trials are stopped early; docs/pruning.md tells the rules."""

    rule = ma.fields.String(
        required=True,
        validate=OneOf(list(RULES)),
        metadata=described(
            "`median`: stop a trial that is worse than half of the completed ones were on average."
            " `asha`: let only the best share go on at each rung."
        ),
    )
    min_epochs = StrictInteger(
        validate=Range(1, 100_000),
        metadata=described(
            "Epochs that every trial gets; the first rung of `asha`.",
            default=MedianRule().min_epochs,
        ),
    )
    min_trials = StrictInteger(
        validate=Range(1, 100_000),
        metadata=described(
            "median: trials that must have completed before any is stopped.",
            default=MedianRule().min_trials,
        ),
    )
    reduction_factor = StrictInteger(
        validate=Range(2, 1000),
        metadata=described(
            "asha: one trial in so many goes on from a rung, to so many times its epochs.",
            default=AshaRule().reduction_factor,
        ),
    )

    @ma.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Pruning:
        rule = RULES[data.pop("rule")]
        foreign = data.keys() - {option.name for option in fields(rule)}
        if foreign:
            raise ma.ValidationError(
                {name: [f"The rule {rule.rule!r} has no such option."] for name in foreign}
            )
        return rule(**data)
