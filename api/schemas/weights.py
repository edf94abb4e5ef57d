"""What training rows count, as a request gives it."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Range

from models.data.preparation.weighting import LARGEST, SMALLEST, ClassWeight, class_weight_from_json
from models.fields import StrictFloat

_BALANCED = "balanced"


class ClassWeightField(ma.fields.Field[Any]):
    """`"balanced"`, or a positive number for each class by its label."""

    default_error_messages = {
        "form": f'Give "{_BALANCED}" or an object with a positive number for each class.',
        "empty": "Name at least one class.",
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> ClassWeight | None:
        if value == _BALANCED:
            return class_weight_from_json(_BALANCED)
        if not isinstance(value, dict):
            raise self.make_error("form")
        if not value:
            raise self.make_error("empty")
        factor = StrictFloat(validate=Range(SMALLEST, LARGEST))
        factors: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for label, given in value.items():
            try:
                factors[label] = factor.deserialize(given)
            except ma.ValidationError as error:
                errors[label] = error.messages
        if errors:
            raise ma.ValidationError(errors)
        return class_weight_from_json(factors)
