"""The front of a job."""

from typing import Any

import marshmallow as ma

from models.fields import described
from models.jobs.front import MAX_PROGRESS, Front, scores_of
from models.jobs.schema.objectives import ObjectiveSchema


def _scores(text: str) -> ma.fields.Dict:
    return ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.Float(), metadata=described(text)
    )


class FrontTrialSchema(ma.Schema):
    """A trial that no other beats by every objective."""

    trial = ma.fields.Integer(
        metadata=described("Its number, by which POST /tune/{id}/finish builds a version of it.")
    )
    state = ma.fields.String()
    scores = _scores("By metric.")
    values = ma.fields.Dict(metadata=described("Every hyperparameter that was in effect."))


class FrontProgressSchema(ma.Schema):
    """The hypervolume after a trial."""

    trial = ma.fields.Integer()
    hypervolume = ma.fields.Float()


class FrontSchema(ma.Schema):
    """The front of a job."""

    objectives = ma.fields.List(ma.fields.Nested(ObjectiveSchema))
    items = ma.fields.List(
        ma.fields.Nested(FrontTrialSchema),
        metadata=described("Best of the first objective first: that is the winner by default."),
    )
    best = _scores("The best score of any trial that keeps the constraints, by metric.")
    reference = _scores("The worst such score: the corner that the hypervolume is measured from.")
    hypervolume = ma.fields.Float(
        allow_none=True,
        metadata=described(
            "Share, 0 to 1, of the box between `best` and `reference` that the front dominates."
        ),
    )
    progress = ma.fields.List(
        ma.fields.Nested(FrontProgressSchema),
        metadata=described(
            "After each trial in the order in which they ended, in the box of this moment; of more"
            f" than {MAX_PROGRESS} trials, after some at equal distances."
        ),
    )

    @ma.pre_dump
    def _items(self, front: Front, **_: Any) -> dict[str, Any]:
        items = [
            {
                "trial": trial.number,
                "state": trial.state,
                "scores": scores_of(front.objectives, trial),
                "values": trial.values,
            }
            for trial in front.trials
        ]
        names = ("objectives", "best", "reference", "hypervolume", "progress")
        return {name: getattr(front, name) for name in names} | {"items": items}
