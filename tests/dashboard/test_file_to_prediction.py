"""The whole way of a person with a table: file, types, search, winner, prediction."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from api.dashboard.files import static_files
from luthier.client import Client
from models.data.library.builtin import BUILTINS
from tests.dashboard.conftest import PENGUINS, Visitor, tune

MORE = (
    '{"search_space": {"num_layers": 1, "units": {"type": "int", "min": 4, "max": 64}},'
    ' "ensemble": 1, "refit": false}'
)


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).select_option(option)


def upload(page: Page, path: Path) -> None:
    page.get_by_label("File with a table").set_input_files(path)
    expect(page.get_by_role("heading", name="2. Look at its columns")).to_be_visible()


def test_from_a_file_to_a_prediction(visitor: Visitor, client: Client) -> None:
    page = visitor.open()
    upload(page, PENGUINS)

    # Columns have types and small figures; a type is fixed in place.
    row = page.get_by_role("row").filter(has=page.get_by_label("Type of year"))
    expect(
        row.get_by_role("img", name=re.compile("Values of year: 2,007 to 2,009"))
    ).to_be_visible()
    choose(page, "Type of year", "category")
    expect(row.locator(".mini-bars li").first).to_contain_text("2009")
    expect(page.get_by_label("Type of year")).to_have_value("category")

    choose(page, "Column to predict", "species")
    page.get_by_label("Learn from island").uncheck()
    page.get_by_label("Name of the model").fill("walked")
    page.get_by_label("Trials", exact=True).fill("2")
    page.get_by_text("More settings").click()
    page.get_by_label("Epochs at most").fill("3")
    choose(page, "Evaluation", "holdout")
    choose(page, "Strategy", "random")
    page.get_by_label("Other fields, as JSON").fill(MORE)
    plan = page.get_by_role("region", name="4. Start")
    expect(plan).to_contain_text("multiclass")
    expect(plan).to_contain_text("island")
    plan.get_by_role("button", name="Start tuning").click()

    # The job is watched until it has a winner.
    page.wait_for_url(re.compile("#/jobs/job_"))
    job_id = page.url.rsplit("/", 1)[1]
    expect(page.get_by_role("heading", level=1)).to_contain_text("succeeded")
    request = client.job(job_id)["request"]
    assert request["exclude"] == ["island"]
    assert request["budget"]["max_trials"] == 2
    version = client.version("walked", 1)
    types = {column["name"]: column["type"] for column in version["signature"]["columns"]}
    assert types["year"] == "category"

    # A row of the training data is filled in and predicted.
    page.goto(f"{visitor.url}/#/predict?model=walked")
    expect(page.get_by_label("bill_length_mm")).not_to_have_value("")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("[data-answer]")).to_have_text(re.compile("Adelie|Chinstrap|Gentoo"))
    expect(page.get_by_label(re.compile("^Probability of"))).to_have_count(3)


def test_a_rule_is_told_at_its_field(visitor: Visitor, dataset: str) -> None:
    visitor.watch.refusals = {422}
    page = visitor.open(f"start?dataset={dataset}")
    choose(page, "Column to predict", "body_mass_g")
    trials = page.get_by_label("Trials", exact=True)
    trials.fill("-3")
    expect(trials).to_have_attribute("aria-invalid", "true")
    expect(trials).to_have_accessible_description(re.compile("greater than or equal to 1"))
    expect(page.get_by_role("button", name="Start tuning")).to_be_disabled()
    trials.fill("3")
    expect(trials).not_to_have_attribute("aria-invalid", "true")
    name = page.get_by_label("Name of the model")
    name.fill("no such/name")
    expect(name).to_have_attribute("aria-invalid", "true")

    kind = page.get_by_label("Type of species")
    kind.select_option("number")
    expect(kind).to_have_attribute("aria-invalid", "true")
    expect(kind).to_have_value("category")


_DRAGGED = """(text) => {
  const dragged = new DataTransfer();
  dragged.items.add(new File([text], "prices.csv"));
  return dragged;
}"""


def test_a_dropped_file_has_its_warnings_beside_their_columns(visitor: Visitor) -> None:
    lines = ["size,price,kind", *(f"{number},${number % 7},same" for number in range(40))]
    page = visitor.open()
    dragged = page.evaluate_handle(_DRAGGED, "\n".join(lines))
    page.dispatch_event(".drop", "drop", {"dataTransfer": dragged})
    row = page.get_by_role("row").filter(has=page.get_by_label("Type of price"))
    expect(row).to_contain_text("number text")
    row = page.get_by_role("row").filter(has=page.get_by_label("Type of kind"))
    expect(row).to_contain_text("constant")
    page.get_by_text("The first rows").click()
    expect(page.get_by_role("region", name="The first rows")).to_contain_text("same")


def test_a_built_in_dataset_has_a_plan_before_and_after_a_job_has_loaded_it(
    visitor: Visitor, client: Client
) -> None:
    for is_loaded in (False, True):
        if is_loaded:
            tune(client, "builtin:wine", model="wine", target="target")
        page = visitor.open("start")
        choose(page, "A built-in dataset", "wine")
        page.get_by_role("button", name="Use this").click()
        expect(page.get_by_role("region", name="4. Start")).to_contain_text("multiclass")
        expect(page.get_by_label("Name of the model")).to_have_value("wine")


def test_a_file_comes_back_with_predictions(
    visitor: Visitor, jobs: list[dict[str, object]], tmp_path: Path
) -> None:
    page = visitor.open("predict?model=shown")
    rows = PENGUINS.read_text().splitlines()[:6]
    numbered = [f"id,{rows[0]}", *(f"{number},{row}" for number, row in enumerate(rows[1:]))]
    page.get_by_label("Or paste rows with a header").fill("\n".join(numbered))
    page.get_by_role("button", name="Predict these rows").click()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download rows-predicted.csv").click()
    downloading.value.save_as(tmp_path / "answer.csv")
    answer = list(csv.DictReader((tmp_path / "answer.csv").read_text().splitlines()))
    assert [row["id"] for row in answer] == ["0", "1", "2", "3", "4"]
    assert [row["island"] for row in answer] == [row.split(",")[1] for row in rows[1:]]
    assert {row["prediction"] for row in answer} <= {"Adelie", "Chinstrap", "Gentoo"}


@pytest.mark.usefixtures("jobs")
def test_a_cell_that_does_not_fit_is_told_at_its_field(visitor: Visitor) -> None:
    visitor.watch.refusals = {422}
    page = visitor.open("predict?model=shown")
    cell = page.get_by_label("bill_length_mm")
    cell.fill("long")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(cell).to_have_attribute("aria-invalid", "true")
    cell.fill("")  # a missing cell fits
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("[data-answer]")).to_be_visible()


@pytest.mark.usefixtures("jobs")
def test_an_imported_version_is_asked_without_an_interval(visitor: Visitor, client: Client) -> None:
    graph = b"".join(client.download("shown", 1, "model.onnx"))
    files = {"file": ("model.onnx", graph)}
    client.request("POST", "/models/from-elsewhere/versions", files=files)
    try:
        page = visitor.open("predict?model=from-elsewhere")
        form = page.get_by_role("region", name="One row")
        expect(form).not_to_contain_text("training data")
        form.get_by_role("button", name="Predict", exact=True).click()
        expect(page.locator("[data-answer]")).to_be_visible()
    finally:
        client.delete_model("from-elsewhere")


def test_the_built_in_datasets_are_those_of_the_service() -> None:
    source = static_files()["pages/start/source.js"].body.decode()
    found = re.findall(r'^  \["(\w+)", ".*", (\d+)\],$', source, re.MULTILINE)
    assert found == [(name, str(each.rows)) for name, each in BUILTINS.items()]
