"""Fields and lists that several resources share."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from models.data.warnings import WarningCode
from models.fields import LARGEST_NUMBER, described
from models.registry.documents import UNDECIDED

DEFAULT_LIMIT = 100  # items of a list


class Group(ma.fields.Nested):
    """Some attributes of the dumped object itself, under a name of their own."""

    def get_value(self, obj: Any, *_: Any, **__: Any) -> Any:
        """Return the dumped object."""
        return obj


class DataWarningSchema(ma.Schema):
    """One thing that a user should know about a table, or about the data of a job."""

    code = ma.fields.String(
        validate=OneOf(list(WarningCode)),
        metadata={"description": "docs/evaluation.md and docs/datasets.md explain each."},
    )
    message = ma.fields.String()
    column = ma.fields.String(allow_none=True, metadata={"description": "Null: the whole table."})
    rows = ma.fields.Integer(
        allow_none=True, metadata={"description": "How many rows are concerned."}
    )


def interval_field(text: str) -> ma.fields.List[Any]:
    """Make the field of a 95 % interval; `text` describes it."""
    return ma.fields.List(
        ma.fields.Float(), allow_none=True, metadata=described(f"{text} Low and high.")
    )


def intervals_field(text: str) -> ma.fields.Dict:
    """Make the field of the intervals of metrics; `text` describes it."""
    return ma.fields.Dict(
        allow_none=True,
        metadata=described(f"{text} By name, low and high; null where undefined."),
    )


def trees_field() -> ma.fields.Raw:
    """Make the field that compares a version with boosted trees."""
    return ma.fields.Raw(
        allow_none=True,
        metadata={
            "oneOf": [
                {"type": "boolean"},
                {"type": "string", "enum": [UNDECIDED]},
            ],
            "description": "Whether the version is better on its test rows than scikit-learn's"
            " HistGradientBoosting, trained on the same rows: by the objective, if the 95 %"
            " interval of the difference lies above 0. Null where there is nothing to compare.",
        },
    )


def conclusion_field() -> ma.fields.String:
    """Make the field of the sentence beside it."""
    return ma.fields.String(
        allow_none=True,
        metadata=described("`better_than_trees` in a sentence with the two scores."),
    )


class PromotionSchema(ma.Schema):
    """Whether a version became the champion when it was made, and the figures behind that."""

    promoted = ma.fields.Boolean()
    reason = ma.fields.String(metadata=described("Why, or why not, in a sentence."))
    champion = ma.fields.Integer(
        allow_none=True, metadata=described("The version that `champion` pointed at.")
    )
    differs = ma.fields.List(
        ma.fields.String(),
        metadata=described("Of `task`, `target`, `classes` and `inputs`, what is not as there."),
    )
    better = ma.fields.Raw(
        allow_none=True,
        metadata={
            "oneOf": [{"type": "boolean"}, {"type": "string", "enum": [UNDECIDED]}],
            "description": "Whether the 95 % interval of the gain lies above `min_gain`, below 0,"
            " or neither; null where the two were not compared.",
        },
    )
    metric = ma.fields.String(allow_none=True)
    score = ma.fields.Float(allow_none=True, metadata=described("Of the version."))
    interval = interval_field("95 %, of `score`.")
    champion_score = ma.fields.Float(allow_none=True)
    champion_interval = interval_field("95 %, of `champion_score`.")
    difference = ma.fields.Float(
        allow_none=True, metadata=described("Above 0 if the version is better.")
    )
    difference_interval = interval_field("95 %, of `difference`, over paired resamples.")
    rows = ma.fields.Integer(
        allow_none=True, metadata=described("Test rows that neither version learned from.")
    )
    promote = ma.fields.String(metadata=described("As the job asked."))
    min_gain = ma.fields.Float()
    breaking = ma.fields.Boolean()
    trouble = ma.fields.String(
        allow_none=True, metadata=described("Why the two were not compared.")
    )


def promotion_field() -> ma.fields.Nested:
    """Make the field of the verdict on a version."""
    return ma.fields.Nested(
        PromotionSchema,
        allow_none=True,
        metadata=described("See docs/promotion.md. Null without a version, and in older ones."),
    )


def moment(text: str) -> ma.fields.AwareDateTime:
    """Make the field of a query for a time with a zone; `text` describes it."""
    return ma.fields.AwareDateTime(
        load_default=None,
        format="iso",
        # Any zone's time in these years has one in UTC.
        validate=lambda found: _check_year(found.year),
        metadata={"description": f"{text} With a zone, as in 2026-05-04T12:00:00Z."},
    )


def _check_year(year: int) -> None:
    if not 1900 <= year <= 9000:
        raise ma.ValidationError("Must lie between the years 1900 and 9000.")


def _limit() -> ma.fields.Integer:
    return ma.fields.Integer(
        load_default=DEFAULT_LIMIT,
        validate=Range(1, 1000),
        metadata={"description": "Most items to return."},
    )


class PageQuery(ma.Schema):
    """The part of a list to return."""

    limit = _limit()
    after = ma.fields.String(
        load_default=None,
        validate=Length(1, 100),
        metadata={"description": "`next` of the page before."},
    )


class NumberedPageQuery(ma.Schema):
    """The part of a list whose items have numbers."""

    limit = _limit()
    after = ma.fields.Integer(
        load_default=None,
        validate=Range(1, LARGEST_NUMBER),
        metadata={"description": "`next` of the page before."},
    )


def page(items: list[Any], limit: int, cursor: Any) -> dict[str, Any]:
    """Return the body of a list; `cursor(item)` names the place after an item."""
    return {
        "items": items[:limit],
        "next": str(cursor(items[limit - 1])) if len(items) > limit else None,
    }
