"""Requests that say how a job is evaluated and on what, over an API whose jobs nobody works on."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

Refused = Callable[..., dict[str, Any]]

ROWS: list[dict[str, Any]] = [
    {
        "a": n % 17 + n / 1000,
        "b": (n * 7) % 13 + n / 2000,
        "after": n * 2.5,
        "who": f"P{n // 4}",
        "day": f"2024-0{1 + n % 9}-1{n % 7}",
        "kind": ["x", "y"][n % 2],
        "y": n * 1.25,
    }
    for n in range(80)
]
NUMBERS = {"model": "m", "dataset": {"records": ROWS}, "target": "y"}


def planned(client: FlaskClient, **changes: Any) -> dict[str, Any]:
    response = client.post("/tune?dry_run=true", json=NUMBERS | changes)
    assert response.status_code == 200, response.get_json()
    return response.get_json()


def stored(client: FlaskClient, records: list[dict[str, Any]]) -> str:
    return client.post("/datasets", json={"records": records}).get_json()["id"]


@pytest.mark.parametrize(
    ("evaluation", "shown"),
    [
        ({"group": "who"}, {"group": "who", "test_fraction": 0.1, "seed": None}),
        ({"time": "day", "method": "cv"}, {"time": "day", "method": "cv", "group": None}),
        ({"seed": 7}, {"seed": 7}),
    ],
    ids=str,
)
def test_a_job_shows_its_evaluation_and_can_be_posted_again(
    shared_client: FlaskClient, evaluation: Any, shown: Any
) -> None:
    response = shared_client.post("/tune", json=NUMBERS | {"evaluation": evaluation})
    assert response.status_code == 202, response.get_json()
    job = response.get_json()
    found = job["request"]["evaluation"]
    assert {name: found[name] for name in shown} == shown
    again = shared_client.post("/tune", json=job["request"])
    assert again.get_json()["request"] == job["request"]
    assert shared_client.get(f"/tune/{job['id']}").get_json()["columns"] == job["columns"]


def test_group_and_time_are_no_features_unless_time_is_named(shared_client: FlaskClient) -> None:
    columns = planned(shared_client, evaluation={"group": "who"})["columns"]
    assert columns["used"] == ["a", "b", "after", "day", "kind"]
    assert columns["ignored"] == {"who": "It is evaluation.group."}
    columns = planned(shared_client, evaluation={"time": "day"}, exclude=["who"])["columns"]
    assert columns["used"] == ["a", "b", "after", "kind"]
    assert sorted(columns["ignored"]) == ["day", "who"]
    columns = planned(shared_client, evaluation={"time": "day"}, features=["a", "day"])["columns"]
    assert columns["used"] == ["a", "day"]


def test_excluded_columns_are_left_out_and_told(shared_client: FlaskClient) -> None:
    plan = planned(shared_client, exclude=["after", "who"])
    assert plan["columns"]["ignored"]["after"] == "It is named in exclude."
    assert plan["request"]["features"] == ["a", "b", "day", "kind"]
    assert plan["request"]["exclude"] == ["after", "who"]
    assert planned(shared_client, **plan["request"])["request"] == plan["request"]
    builtin = planned(
        shared_client, dataset="builtin:diabetes", target="target", exclude=["s1", "age"]
    )
    assert builtin["columns"]["used"] == ["sex", "bmi", "bp", "s2", "s3", "s4", "s5", "s6"]
    assert builtin["request"]["features"] == builtin["columns"]["used"]
    assert builtin["warnings"] == []


def test_warnings_are_shown_by_plan_job_and_list(shared_client: FlaskClient) -> None:
    records = [row | {"y": None} if float(str(row["a"])) < 1 else row for row in ROWS]
    body = {"dataset": {"records": records}}
    plan = planned(shared_client, **body)
    codes = {warning["code"]: warning for warning in plan["warnings"]}
    assert codes["leak"]["column"] == "after"
    assert codes["entity_id"]["column"] == "who"
    assert codes["missing_target"]["rows"] == 5
    job = shared_client.post("/tune", json=NUMBERS | body).get_json()
    assert job["warnings"] == plan["warnings"]
    listed = shared_client.get("/tune").get_json()["items"][0]
    assert (listed["warnings"], listed["columns"]) == (plan["warnings"], plan["columns"])
    left = planned(shared_client, **body, exclude=["after"], evaluation={"group": "who"})
    assert [warning["code"] for warning in left["warnings"]] == ["missing_target"]


def test_a_job_on_counts_suggests_the_other_task(shared_client: FlaskClient) -> None:
    counts = {"records": [{"a": n % 9 + n / 99, "y": n % 6} for n in range(80)]}
    plan = planned(shared_client, dataset=counts)
    assert plan["request"]["task"] == "multiclass"
    assert [warning["code"] for warning in plan["warnings"]] == ["task_guessed"]
    assert "`task: regression`" in plan["warnings"][0]["message"]
    assert planned(shared_client, dataset=counts, task="multiclass")["warnings"] == []


def test_a_test_dataset_leaves_no_test_part(shared_client: FlaskClient) -> None:
    other = stored(shared_client, ROWS[:30])
    evaluation = {"test_dataset": other}
    plan = planned(shared_client, evaluation=evaluation)
    found = plan["request"]["evaluation"]
    assert (found["test_dataset"], found["test_fraction"]) == (other, 0.0)
    assert "duplicate_rows" in [warning["code"] for warning in plan["warnings"]]
    assert shared_client.post("/tune", json=NUMBERS | {"evaluation": evaluation}).status_code == 202
    response = shared_client.delete(f"/datasets/{other}")
    assert response.status_code == 409, "the job needs it"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"evaluation": {"group": "whom"}}, "evaluation.group"),
        ({"evaluation": {"group": "y"}}, "evaluation.group"),
        ({"evaluation": {"group": 3}}, "evaluation.group"),
        ({"evaluation": {"group": "kind"}}, "evaluation.group"),  # of two groups
        ({"evaluation": {"time": "kind"}}, "evaluation.time"),
        ({"evaluation": {"time": "dai"}}, "evaluation.time"),
        ({"evaluation": {"time": "day", "group": "who"}}, "evaluation.time"),
        ({"evaluation": {"seed": -1}}, "evaluation.seed"),
        (
            {"evaluation": {"test_dataset": "ds_x", "test_fraction": 0.2}},
            "evaluation.test_fraction",
        ),
        ({"evaluation": {"group": "who"}, "features": ["a", "who"]}, "features.1"),
        ({"exclude": ["aa"]}, "exclude.0"),
        ({"exclude": ["b", "y"]}, "exclude.1"),
        ({"exclude": ["b"], "features": ["a", "b"]}, "exclude.0"),
        ({"exclude": "b"}, "exclude"),
        ({"exclude": ["a", "b", "after", "who", "day", "kind"]}, "exclude"),
        ({"allow_negative": "yes"}, "allow_negative"),
        ({"allow_negative": True, "target": "kind"}, "allow_negative"),
        ({"dataset": "builtin:iris", "target": "target", "exclude": ["petal"]}, "exclude.0"),
        ({"dataset": "builtin:iris", "target": "target", "exclude": ["target"]}, "exclude.0"),
        (
            {"dataset": "builtin:iris", "target": "target", "evaluation": {"group": "x"}},
            "evaluation.group",
        ),
        (
            {"dataset": "builtin:iris", "target": "target", "evaluation": {"time": "x"}},
            "evaluation.time",
        ),
    ],
    ids=str,
)
def test_contradictions_are_refused_at_their_path(
    shared_client: FlaskClient, refused: Refused, changes: Any, path: str
) -> None:
    response = shared_client.post("/tune?dry_run=true", json=NUMBERS | changes)
    assert list(refused(response, 422)) == [path]


def test_datasets_to_test_on_must_fit(shared_client: FlaskClient, refused: Refused) -> None:
    fewer = stored(shared_client, [{"a": 1, "y": 2.5}, {"a": 2, "y": 3.5}])
    body = NUMBERS | {"evaluation": {"test_dataset": fewer}}
    [(path, [message])] = refused(shared_client.post("/tune", json=body), 422).items()
    assert (path, "no column 'b'" in message) == ("evaluation.test_dataset", True)
    body = NUMBERS | {"evaluation": {"test_dataset": "ds_none"}}
    assert shared_client.post("/tune", json=body).status_code == 404
    body = {
        "model": "m",
        "dataset": "builtin:diabetes",
        "target": "target",
        "evaluation": {"test_dataset": fewer},
    }
    [(path, [message])] = refused(shared_client.post("/tune", json=body), 422).items()
    assert (path, "no column 'age'" in message) == ("evaluation.test_dataset", True)


def test_negative_predictions_can_be_asked_for(shared_client: FlaskClient) -> None:
    assert planned(shared_client)["request"]["allow_negative"] is False
    assert planned(shared_client, allow_negative=True)["request"]["allow_negative"] is True


def test_a_job_repeats_the_warnings_of_the_columns_that_it_uses(shared_client: FlaskClient) -> None:
    records = [{**row, "many": f"v{n % 70}", "one": 1} for n, row in enumerate(ROWS * 10)]
    told = planned(shared_client, dataset={"records": records}, features=["a", "many"])["warnings"]
    assert ("high_cardinality", "many") in {(each["code"], each["column"]) for each in told}
    assert "one" not in {each["column"] for each in told}
