from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from luthier.client import RequestRefused
from tests.answers import without_id


def answer(trained: Any, model: str = "flats", **wanted: Any) -> dict[str, Any]:
    instances = wanted.pop("instances", trained.rows[:5])
    return without_id(trained.client.predict(model, instances, **wanted))


def refusal(trained: Any, status: int, model: str = "flats", **wanted: Any) -> dict[str, Any]:
    with pytest.raises(RequestRefused) as refused:
        answer(trained, model, **wanted)
    assert refused.value.status == status, refused.value
    return dict(refused.value.problem.get("errors", {}))


def test_a_regression_answers_one_number_a_row(trained: Any) -> None:
    body = answer(trained)
    assert set(body) == {"model", "version", "predictions"}
    assert body["model"] == "flats"
    assert len(body["predictions"]) == 5
    assert all(isinstance(number, float) for number in body["predictions"])
    assert len(set(body["predictions"])) == 5


def test_rows_may_be_objects_or_lists_in_the_order_of_the_columns(trained: Any) -> None:
    names = [
        column["name"] for column in trained.client.version("flats", 2)["signature"]["columns"]
    ]
    as_lists = [[row[name] for name in names] for row in trained.rows[:5]]
    turned = [dict(reversed(row.items())) for row in trained.rows[:5]]
    expected = answer(trained)["predictions"]
    assert answer(trained, instances=as_lists)["predictions"] == expected
    assert answer(trained, instances=turned)["predictions"] == expected
    mixed = [as_lists[0], trained.rows[1]]
    assert answer(trained, instances=mixed)["predictions"] == pytest.approx(expected[:2])


def test_cells_may_be_missing_and_categories_new(trained: Any) -> None:
    row = trained.rows[5]
    nothing = dict.fromkeys(row)
    elsewhere = row | {"town": "Βόλος"}
    nowhere = row | {"town": "Atlantis"}
    numbers = answer(trained, instances=[row, nothing, elsewhere, nowhere])["predictions"]
    assert all(isinstance(number, float) for number in numbers)
    assert numbers[2] == numbers[3]
    assert numbers[1] != numbers[0]


def test_a_whole_number_is_a_number(trained: Any) -> None:
    rows = [trained.rows[5] | {"area": area} for area in (70, 70.0)]
    one, other = answer(trained, instances=rows)["predictions"]
    assert one == other


def test_a_classification_answers_labels_and_probabilities(trained: Any) -> None:
    rows = [{"area": row["area"], "town": row["town"]} for row in trained.rows[:9]]
    body = answer(trained, "stock", instances=rows)
    assert body["classes"] == ["cheap", "dear"]
    _check_probabilities(body)


def test_labels_are_those_of_the_data(trained: Any) -> None:
    body = answer(trained, "iris", instances=[[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
    assert body["classes"] == [0, 1, 2]
    assert all(isinstance(label, int) for label in body["predictions"])
    _check_probabilities(body)


def _check_probabilities(body: dict[str, Any]) -> None:
    for label, row in zip(body["predictions"], body["probabilities"], strict=True):
        assert sum(row) == pytest.approx(1.0, abs=1e-5)
        assert all(0 <= share <= 1 for share in row)
        assert label == body["classes"][row.index(max(row))]


def test_the_version_can_be_chosen_by_number_or_alias(trained: Any) -> None:
    first, second = (answer(trained, version=number) for number in (1, 2))
    assert (first["version"], second["version"]) == (1, 2)
    assert first["predictions"] != second["predictions"]
    assert answer(trained) == answer(trained, alias="champion") == second


def test_what_does_not_exist_is_not_found(trained: Any) -> None:
    refusal(trained, 404, model="houses")
    refusal(trained, 404, version=99)
    refusal(trained, 404, alias="challenger")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"floor": 3}, "instances.1.floor"),
        ({"area": ...}, "instances.1.area"),
        ({"area": "big"}, "instances.1.area"),
        ({"area": 10**400}, "instances.1.area"),
        ({"area": [1]}, "instances.1.area"),
        ({"town": ["Graz"]}, "instances.1.town"),
        ({"garden": 2}, "instances.1.garden"),
        ({"sold": "tomorrow"}, "instances.1.sold"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_at_its_cell(
    trained: Any, change: dict[str, Any], path: str
) -> None:
    row = {name: cell for name, cell in (trained.rows[1] | change).items() if cell is not ...}
    assert list(refusal(trained, 422, instances=[trained.rows[0], row])) == [path]


def test_any_spelling_of_a_cell_and_other_columns_of_the_data_are_accepted(trained: Any) -> None:
    plain = trained.rows[1]
    spelled = {
        "area": f" {plain['area']} ",
        "town": f" {plain['town']}",
        "garden": str(plain["garden"]),
        "price": "?",
    }
    answers = trained.client.predict("flats", [plain, plain | spelled])["predictions"]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("row", [[1, 2], [], 3, "Graz", None, {}])
def test_what_is_no_row_is_refused(trained: Any, row: Any) -> None:
    errors = refusal(trained, 422, instances=[trained.rows[0], row])
    assert errors
    assert all(path.startswith("instances.1") for path in errors)


def test_predictions_at_the_same_time_do_not_disturb_each_other(trained: Any) -> None:
    wanted = [
        {"version": 1 + number % 2, "instances": trained.rows[number : number + 3]}
        for number in range(24)
    ]
    alone = [answer(trained, **dict(request)) for request in wanted]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda request: answer(trained, **dict(request)), wanted))
    assert together == alone


def test_a_version_knows_the_spread_of_the_rows_that_it_learned_from(trained: Any) -> None:
    file = trained.http.get("/models/flats/versions/2/artifacts/profile.json").json()
    signature = trained.client.version("flats", 2)["signature"]
    named = [(column["name"], column["type"]) for column in signature["columns"]]
    assert [(column["name"], column["type"]) for column in file["columns"]] == named
    assert 0 < file["rows"] < len(trained.rows)
    for column in file["columns"]:
        assert column["counts"][0] + sum(column["counts"][2:]) == file["rows"]
    for _ in range(2):
        answer(trained, instances=trained.rows)
    found = trained.client.monitor("flats")["versions"][0]
    assert found["requests"] >= 2
    # Other tests have sent rows too, which may be unlike those of training.
    assert found["drift"]["rows"] >= 100
    assert all(column["psi"] < 1 for column in found["drift"]["columns"])
