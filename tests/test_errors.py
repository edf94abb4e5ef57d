import pickle

import pytest

from models.errors import ArtifactError, Invalid, NotFound


@pytest.mark.parametrize(
    "error",
    [
        Invalid({"search_space.units": ["Too small.", "Not a number."], "seed": ["Missing."]}),
        NotFound("dataset", "ds_1"),
        ArtifactError("The stored file 'x' is missing."),
    ],
)
def test_an_error_travels_between_processes(error):
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_messages_can_be_put_below_another_field():
    error = Invalid.at("records.3", "Not an object.").under("dataset")
    assert error.errors == {"dataset.records.3": ["Not an object."]}
