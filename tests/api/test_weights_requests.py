"""Requests whose training rows are weighted, over an API whose jobs nobody works on."""

import io
from collections.abc import Callable
from typing import Any

import marshmallow as ma
import numpy as np
import pytest
from flask.testing import FlaskClient

from models.jobs.schema.spec import JobSpecSchema

Refused = Callable[..., dict[str, Any]]

ROWS = [
    {"a": n, "w": n % 4 + 0.5, "kind": "rare" if n % 5 == 0 else "often", "y": n * 1.25}
    for n in range(40)
]
CLASSES = {"model": "m", "dataset": {"records": ROWS}, "target": "kind"}
NUMBERS = CLASSES | {"target": "y", "features": ["a"]}


def asked(client: FlaskClient, body: dict[str, Any], status: int = 202) -> dict[str, Any]:
    response = client.post("/tune", json=body)
    assert response.status_code == status, response.get_json()
    return response.get_json()["request"]


def spoilt(row: int, weight: Any) -> dict[str, Any]:
    return {"records": [each | {"w": weight} if n == row else each for n, each in enumerate(ROWS)]}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("balanced", "balanced"),
        (None, None),
        ({"rare": 4}, {"often": 1.0, "rare": 4.0}),
        ({"rare": 0.5, "often": 2}, {"often": 2.0, "rare": 0.5}),
    ],
    ids=str,
)
def test_class_weights_are_told_for_every_class_and_can_be_posted_again(
    shared_client: FlaskClient, given: Any, told: Any
) -> None:
    request = asked(shared_client, CLASSES | {"class_weight": given, "sample_weight": "w"})
    assert (request["class_weight"], request["sample_weight"]) == (told, "w")
    job = shared_client.get("/tune").get_json()["items"][0]
    assert job["request"] == request
    assert asked(shared_client, request) == request


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ("builtin:breast_cancer", {"0": 1.0, "1": 3.0}),
        ("builtin:iris", {"0": 1.0, "1": 3.0, "2": 1.0}),
    ],
)
def test_classes_of_builtin_datasets_are_their_numbers(
    shared_client: FlaskClient, dataset: str, told: Any
) -> None:
    body = {"model": "m", "dataset": dataset, "target": "target", "class_weight": {"1": 3}}
    assert asked(shared_client, body)["class_weight"] == told


def test_boolean_classes_are_true_and_false(shared_client: FlaskClient, refused: Refused) -> None:
    records = [{"a": n, "y": bool(n % 3)} for n in range(30)]
    body = {"model": "m", "dataset": {"records": records}, "target": "y"}
    request = asked(shared_client, body | {"class_weight": {"true": 2}})
    assert request["class_weight"] == {"false": 1.0, "true": 2.0}
    response = shared_client.post("/tune", json=body | {"class_weight": {"yes": 2}})
    [(path, [message])] = refused(response, 422).items()
    assert path == "class_weight.yes"
    assert "'false', 'true'" in message


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"class_weight": {"rare": 0}}, "class_weight.rare"),
        ({"class_weight": {"rare": -1}}, "class_weight.rare"),
        ({"class_weight": {"rare": 1e300}}, "class_weight.rare"),
        ({"class_weight": {"rare": 10**400}}, "class_weight.rare"),
        ({"class_weight": {"rare": "4"}}, "class_weight.rare"),
        ({"class_weight": {"rare": True}}, "class_weight.rare"),
        ({"class_weight": {"rare": None}}, "class_weight.rare"),
        ({"class_weight": {"rare": [1]}}, "class_weight.rare"),
        ({"class_weight": {"Rare": 2}}, "class_weight.Rare"),
        ({"class_weight": {"never seen ✓": 2}}, "class_weight.never seen ✓"),
        ({"class_weight": {}}, "class_weight"),
        ({"class_weight": "Balanced"}, "class_weight"),
        ({"class_weight": [1, 2]}, "class_weight"),
        ({"class_weight": 2}, "class_weight"),
        ({"class_weight": "balanced", "target": "y"}, "class_weight"),
        ({"class_weight": {"1": 2}, "target": "y"}, "class_weight"),
        ({"sample_weight": "W"}, "sample_weight"),
        ({"sample_weight": ""}, "sample_weight"),
        ({"sample_weight": ["w"]}, "sample_weight"),
        ({"sample_weight": "kind"}, "sample_weight"),
        ({"sample_weight": "kind", "target": "y"}, "sample_weight"),
        ({"sample_weight": "w", "features": ["a", "w"]}, "features.1"),
        ({"sample_weight": "w", "features": ["w"]}, "features.0"),
        (
            {"sample_weight": "age", "dataset": "builtin:diabetes", "target": "target"},
            "sample_weight",
        ),
        (
            {"class_weight": {"3": 2}, "dataset": "builtin:iris", "target": "target"},
            "class_weight.3",
        ),
        (
            {"class_weight": "balanced", "dataset": "builtin:diabetes", "target": "target"},
            "class_weight",
        ),
    ],
    ids=str,
)
def test_weights_that_cannot_be_are_refused_at_their_path(
    shared_client: FlaskClient, refused: Refused, changes: Any, path: str
) -> None:
    response = shared_client.post("/tune?dry_run=true", json=CLASSES | changes)
    assert list(refused(response, 422)) == [path]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (spoilt(6, -2), "Row 7 holds -2; a weight is 0 or more."),
        (spoilt(0, None), "Row 1 has no weight."),
        (spoilt(39, 1e200), "Row 40 holds 1e+200"),
        (spoilt(3, "much"), "Row 4 has no weight."),
        ({"records": [row | {"w": 0} for row in ROWS]}, "Every training row has the weight 0."),
        ({"records": [{k: row[k] for k in ("a", "y")} for row in ROWS]}, "no column 'w'"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_rows_that_have_no_weight_are_named(
    shared_client: FlaskClient, refused: Refused, dataset: Any, message: str
) -> None:
    response = shared_client.post(
        "/tune", json=NUMBERS | {"dataset": dataset, "sample_weight": "w"}
    )
    [(path, [text])] = refused(response, 422).items()
    assert path == "sample_weight"
    assert message in text


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_factors_are_finite_also_for_who_reads_more_than_json(number: float) -> None:
    with pytest.raises(ma.ValidationError) as caught:
        JobSpecSchema().load(CLASSES | {"class_weight": {"often": 1, "rare": number}})
    assert list(caught.value.messages_dict["class_weight"]) == ["rare"]


def test_a_fold_whose_training_rows_all_have_no_weight_is_refused(
    shared_client: FlaskClient, refused: Refused
) -> None:
    body = NUMBERS | {
        "dataset": {"records": [row | {"w": float(row["a"] == 5)} for row in ROWS]},
        "evaluation": {"method": "cv", "folds": 4, "test_fraction": 0},
        "sample_weight": "w",
    }
    [(path, [message])] = refused(shared_client.post("/tune", json=body), 422).items()
    assert path == "sample_weight"
    assert "of fold " in message


def test_a_validation_dataset_needs_weights_only_for_a_refit(
    shared_client: FlaskClient, refused: Refused
) -> None:
    def stored(records: list[dict[str, Any]]) -> str:
        return shared_client.post("/datasets", json={"records": records}).get_json()["id"]

    body = NUMBERS | {"sample_weight": "w"}
    without = {"validation_dataset": stored([{"a": 1, "y": 2.5}, {"a": 2, "y": 3.5}])}
    asked(shared_client, body | {"evaluation": without})
    negative = {
        "validation_dataset": stored([{"a": 1, "y": 2.5, "w": 1}, {"a": 2, "y": 1, "w": -1}])
    }
    for evaluation, message in ((without, "no column 'w'"), (negative, "Row 2 holds -1")):
        response = shared_client.post(
            "/tune", json=body | {"evaluation": evaluation, "refit": True}
        )
        [(path, [text])] = refused(response, 422).items()
        assert path == "evaluation.validation_dataset"
        assert message in text


def test_a_column_of_x_may_be_the_weights(shared_client: FlaskClient, refused: Refused) -> None:
    arrays = {"x": [[n, n % 3 + 1] for n in range(20)], "y": [n % 2 for n in range(20)]}
    body = {"model": "m", "dataset": arrays, "target": "y", "sample_weight": "x1"}
    assert asked(shared_client, body)["sample_weight"] == "x1"
    alone = body | {"sample_weight": "x0", "dataset": arrays | {"x": list(range(20))}}
    assert list(refused(shared_client.post("/tune", json=alone), 422)) == ["features"]


def test_images_may_have_weights_beside_them(shared_client: FlaskClient) -> None:
    file = io.BytesIO()
    weights, kinds = np.linspace(0, 2, 20), np.arange(20) % 2
    np.savez(file, picture=np.arange(320).reshape(20, 4, 4), kind=kinds, weight=weights)
    file.seek(0)
    stored = shared_client.post("/datasets", data={"file": (file, "images.npz")}).get_json()
    body = {"model": "m", "dataset": stored["id"], "target": "kind", "network": "cnn"}
    assert asked(shared_client, body | {"sample_weight": "weight"})["sample_weight"] == "weight"
