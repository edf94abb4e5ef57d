"""What a job will take and what it took, as they are answered."""

import marshmallow as ma

from models.fields import described


class SpreadSchema(ma.Schema):
    """A figure over the search space."""

    smallest = ma.fields.Float(metadata=described("The least of any network."))
    largest = ma.fields.Float(metadata=described("The most of any network."))
    expected = ma.fields.Float(
        metadata=described("Mean over networks drawn as the strategy draws them.")
    )


class CountSpreadSchema(ma.Schema):
    """A count over the search space."""

    smallest = ma.fields.Integer()
    largest = ma.fields.Integer()
    expected = ma.fields.Integer()


class AssumptionsSchema(ma.Schema):
    """What a forecast rests on."""

    trials = ma.fields.Integer(metadata=described("Trials that are trained."))
    runs_per_trial = ma.fields.Integer(metadata=described("Folds times executions."))
    parallelism = ma.fields.Integer(metadata=described("Trials at once."))
    epochs = ma.fields.Integer(
        metadata=described(
            "Epochs of all trials together, each trained to its end: no early stopping, no pruning."
        )
    )
    networks_trained = ma.fields.Integer(
        metadata=described("Networks that were trained for a few epochs to measure.")
    )


class ForecastSchema(ma.Schema):
    """What a job will take, measured on networks of its search space."""

    seconds = ma.fields.Float(metadata=described("Seconds of searching, at most."))
    saving_seconds = ma.fields.Float(
        metadata=described("Seconds of the refit, if there is one, and of making the version.")
    )
    seconds_per_trial = ma.fields.Nested(SpreadSchema)
    memory_bytes = ma.fields.Integer(
        metadata=described("Most resident memory of one trial's process.")
    )
    disk_bytes = ma.fields.Nested(
        CountSpreadSchema,
        metadata=described("Bytes that stay: the version's two large files and the weights kept."),
    )
    parameters = ma.fields.Nested(CountSpreadSchema)
    assumes = ma.fields.Nested(AssumptionsSchema)


class ActualSchema(ma.Schema):
    """What a job took, in the terms of its forecast."""

    seconds = ma.fields.Float(metadata=described("Seconds of searching."))
    saving_seconds = ma.fields.Float()
    memory_bytes = ma.fields.Integer(
        allow_none=True, metadata=described("Null where every result was taken over.")
    )
    disk_bytes = ma.fields.Integer(
        metadata=described("Bytes of the version's files and of the weights kept.")
    )
