"""Jobs are controlled and compared, and versions are promoted and rolled back, in the browser."""

import re
from typing import Any

from playwright.sync_api import Page, expect

from luthier.client import Client
from tests import foreign_graphs as graphs
from tests.dashboard.conftest import QUICK, Visitor, serious_faults
from tests.processes import fetch
from tests.waiting import wait_until

LONG = {"budget": {"max_trials": 1000, "epochs": 50}}


def confirm(page: Page, name: str, reason: str | None = None) -> None:
    dialog = page.get_by_role("dialog")
    if reason is not None:
        dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=name, exact=True).click()
    expect(dialog).to_have_count(0)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def start_long(client: Client, dataset: str) -> str:
    request = QUICK | LONG | {"model": "long", "dataset": dataset, "target": "species"}
    job = client.tune(request)["id"]
    wait_until(lambda: client.job(job)["progress"]["completed"] >= 2)
    return str(job)


def test_a_job_is_watched_and_controlled(visitor: Visitor, client: Client, dataset: str) -> None:
    visitor.watch.refusals = {404}  # the page may ask for the job while it is being deleted
    job = start_long(client, dataset)
    page = visitor.open(f"jobs/{job}")
    state = page.get_by_role("heading", level=1)
    expect(state).to_contain_text("running")
    expect(page.locator('.chart[data-drawn="true"]').first).to_be_visible()

    press(page, "Pause")
    expect(state).to_contain_text("paused")
    press(page, "Resume")
    expect(state).to_contain_text(re.compile("queued|running"))
    press(page, "Change budget")
    page.get_by_label("Trials in all").fill("900")
    press(page, "Save")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert client.job(job)["request"]["budget"]["max_trials"] == 900

    press(page, "Finish now")
    confirm(page, "Finish")
    expect(state).to_contain_text("succeeded")
    press(page, "Delete")
    confirm(page, "Delete")
    page.wait_for_url(re.compile("#/jobs$"))
    assert fetch(f"{visitor.url}/tune/{job}").status_code == 404


def test_a_job_is_cancelled(visitor: Visitor, client: Client, dataset: str) -> None:
    job = start_long(client, dataset)
    page = visitor.open(f"jobs/{job}")
    press(page, "Cancel")
    confirm(page, "Cancel the job")
    expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled")
    assert client.job(job)["state"] == "cancelled"


def test_jobs_are_compared(visitor: Visitor, jobs: list[dict[str, Any]]) -> None:
    page = visitor.open("jobs?tag=seen")
    for job in jobs:
        page.get_by_label(f"Choose {job['id']}").check()
    page.get_by_role("link", name=re.compile("^Compare")).or_(
        page.get_by_role("button", name=re.compile("^Compare"))
    ).click()
    page.wait_for_url(re.compile("#/compare"))
    results = page.get_by_role("region", name="Results of the jobs")
    expect(results.get_by_role("row", name=re.compile("Best score"))).to_be_visible()
    expect(page.locator('.chart[data-drawn="true"]')).to_have_count(2)


def test_versions_are_promoted_and_rolled_back(
    visitor: Visitor, client: Client, jobs: list[dict[str, Any]]
) -> None:
    client.promote("shown", 2)
    page = visitor.open("models")
    page.get_by_role("link", name="shown", exact=True).click()
    expect(page.get_by_role("region", name="Aliases")).to_contain_text("version 2")
    press(page, "Promote version 1")
    confirm(page, "Promote", "It is smaller.")
    expect(page.get_by_role("region", name="Aliases")).to_contain_text("version 1")
    assert client.moves("shown")[0]["reason"] == "It is smaller."
    expect(page.get_by_role("region", name="Moves of champion")).to_contain_text("It is smaller.")

    press(page, "Roll back")
    confirm(page, "Roll back")
    expect(page.get_by_role("region", name="Aliases")).to_contain_text("version 2")

    # Another version is a shadow, then it shares the requests.
    press(page, "Change champion")
    page.get_by_label("Shadow").select_option("1")
    confirm(page, "Save")
    expect(page.get_by_role("region", name="Aliases")).to_contain_text("shadow: version 1")
    press(page, "Change champion")
    press(page, "Share with another version")
    shares = page.get_by_role("dialog").get_by_label("Requests in %")
    shares.nth(0).fill("75")
    shares.nth(1).fill("25")
    confirm(page, "Save", "A canary.")
    expect(page.get_by_role("region", name="Aliases")).to_contain_text("75 %")
    move = client.moves("shown")[0]
    assert (move["weights"], move["shadow"]) == ({"1": 0.25, "2": 0.75}, None)
    client.promote("shown", 2)


def test_a_change_of_someone_else_is_not_overwritten(
    visitor: Visitor, client: Client, jobs: list[dict[str, Any]]
) -> None:
    visitor.watch.refusals = {412}
    client.promote("shown", 2)
    page = visitor.open("models/shown")
    press(page, "Change champion")
    expect(page.get_by_label("Requests in %")).to_have_value("100")
    client.promote("shown", 1)  # meanwhile
    page.get_by_role("dialog").get_by_label("Version").select_option("2")
    press(page, "Save")
    expect(page.get_by_role("alert")).to_contain_text("Somebody has moved this alias")
    press(page, "Show the present state")
    expect(page.get_by_role("dialog").get_by_label("Version")).to_have_value("1")
    assert client.moves("shown")[0]["to"] == 1
    client.promote("shown", 2)


def test_a_version_shows_evidence_files_and_traffic(
    visitor: Visitor, client: Client, jobs: list[dict[str, Any]]
) -> None:
    row = client.version("shown", 2)["signature"]["sample"]
    client.predict("shown", [row] * 3)
    page = visitor.open("models/shown")
    scores = page.get_by_role("region", name="Scores beside simpler models")
    expect(scores.get_by_role("row", name=re.compile("^accuracy"))).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("button", name=re.compile("^signature.json")).click()
    assert downloading.value.suggested_filename == "signature.json"
    expect(page.get_by_role("region", name="Traffic by version")).to_contain_text("champion")


def test_the_settings_of_a_model_are_changed(
    visitor: Visitor, client: Client, jobs: list[dict[str, Any]]
) -> None:
    visitor.watch.refusals = {422}
    page = visitor.open("models/shown")
    settings = page.get_by_role("region", name="Settings")
    shown = settings.locator("dd")
    expect(shown).to_have_text(["only by jobs whose key may promote", "off", "off"])
    press(page, "Change settings")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Any job that makes a better version").check()
    dialog.get_by_label("Log rows and answers").check()
    share = dialog.get_by_label("Requests to log in %")
    share.fill("")
    dialog.get_by_label("Guard the champion").check()
    press(page, "Save")
    expect(dialog.get_by_role("alert")).to_contain_text("Give at least one of")
    errors = dialog.get_by_label("Errors, at most %")
    errors.fill("many")
    press(page, "Limit a live metric")
    dialog.get_by_label("Live metric 1", exact=True).fill("accuracy")
    dialog.get_by_label("Bound").fill("0.9")
    press(page, "Save")
    expect(errors).to_have_attribute("aria-invalid", "true")
    expect(share).to_have_attribute("aria-invalid", "true")
    share.fill("25")
    errors.fill("5")
    press(page, "Save")  # at most is the wrong side
    expect(dialog.locator(".wrong")).to_contain_text("worse side of accuracy")
    assert serious_faults(page) == []
    dialog.get_by_label("Is to be").select_option("min")
    press(page, "Save")
    expect(dialog).to_have_count(0)
    expect(shown.nth(1)).to_have_text("25 % of the requests, kept 30 days")
    expect(shown.nth(2)).to_contain_text("above 5 %, or the live accuracy is below 0.9")
    model = client.model("shown")
    assert model["auto_promote"] is True
    assert model["prediction_log"] == {"sample": 0.25, "keep_days": 30}
    limits = {"error_rate": 0.05, "live_score": {"accuracy": {"min": 0.9}}}
    assert model["rollback_when"] == limits | {"min_requests": 100, "minutes": 60}

    # What somebody else changes meanwhile stays, and what is switched off is sent as null.
    press(page, "Change settings")
    client.auto_promote("shown", is_on=False)
    dialog.get_by_label("Log rows and answers").uncheck()
    dialog.get_by_label("Guard the champion").uncheck()
    press(page, "Save")
    expect(shown).to_have_text(["only by jobs whose key may promote", "off", "off"])
    model = client.model("shown")
    found = [model[name] for name in ("auto_promote", "prediction_log", "rollback_when")]
    assert found == [False, None, None]


def test_an_onnx_file_becomes_a_version(visitor: Visitor, client: Client) -> None:
    visitor.watch.refusals = {422}
    page = visitor.open("models")
    press(page, "Import an ONNX file")
    dialog = page.get_by_role("dialog")
    choose = dialog.get_by_label("File with an ONNX file")
    choose.set_input_files({"name": "Theirs 2.onnx", "mimeType": "", "buffer": b"no graph"})
    expect(dialog.get_by_label("Model")).to_have_value("theirs-2")
    press(page, "Import")
    expect(dialog.get_by_role("alert")).to_contain_text("not an ONNX graph")
    choose.set_input_files({"name": "linear.onnx", "mimeType": "", "buffer": graphs.linear(3)})
    dialog.get_by_text("What the graph does not say").click()
    dialog.get_by_label("What it predicts").fill("price")
    columns = dialog.get_by_label("Columns")
    columns.fill("area\narea\nrooms")
    press(page, "Import")
    expect(columns).to_have_attribute("aria-invalid", "true")
    columns.fill("area\nrooms\nage, years")
    press(page, "Import")
    try:
        expect(dialog).to_contain_text("theirs-2 has version 1")
        expect(dialog.get_by_role("region", name="Columns of the graph")).to_contain_text(
            "age, years"
        )
        assert serious_faults(page) == []
        dialog.get_by_role("link", name="Show the model").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("theirs-2")
        signature = client.version("theirs-2", 1)["signature"]
        assert (signature["target"], signature["columns"][0]["name"]) == ("price", "area")

        press(page, "Import")  # another version of the same model
        choose.set_input_files({"name": "a.onnx", "mimeType": "", "buffer": graphs.linear(3)})
        dialog.get_by_role("button", name="Import", exact=True).click()
        expect(dialog).to_contain_text("theirs-2 has version 2")
        page.keyboard.press("Escape")
        expect(page.get_by_role("region", name="Versions and their scores")).to_contain_text(
            "Version 2"
        )
    finally:
        client.delete_model("theirs-2")
