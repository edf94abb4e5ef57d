"""Values out of JSON, checked against the table, with marshmallow's errors."""

from collections.abc import Sequence

from marshmallow import ValidationError

from models.space.hyperparameters import Hyperparameter, Value


def parsed(row: Hyperparameter, value: object) -> Value:
    """Answer a legal value of `row`, or raise ValidationError."""
    try:
        return row.parse(value)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def parsed_list(row: Hyperparameter, values: Sequence[object]) -> list[Value]:
    """Answer legal values of `row`, or raise ValidationError with the messages by index."""
    answer: list[Value] = []
    errors: dict[int, object] = {}
    for index, value in enumerate(values):
        try:
            answer.append(parsed(row, value))
        except ValidationError as error:
            errors[index] = error.messages
    if errors:
        raise ValidationError(errors)
    return answer
