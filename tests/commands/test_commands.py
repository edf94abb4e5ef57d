"""Each command against a real service, as text and as the API's JSON."""

import csv
import io
import json
from pathlib import Path

import pytest

from luthier.client import Client, Job
from tests.commands.conftest import PENGUINS, QUICK, SPACE, Luthier


def rows_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_tune_queues_a_job_and_job_shows_its_end(
    luthier: Luthier, client: Client, tmp_path: Path
) -> None:
    space = tmp_path / "space.json"
    space.write_text(SPACE, encoding="utf-8")
    more = ("--space", str(space), "--model", "cli-tuned", "--tag", "nightly", "--seed", "3")
    made = luthier("tune", PENGUINS, "--target", "species", *QUICK, *more)
    assert made.exit_code == 0, made.output
    job, state = made.stdout.split()
    assert state in ("queued", "running")
    watched = luthier("job", job, "--watch")
    assert watched.exit_code == 0, watched.output
    assert ["state", "succeeded"] in rows_of(watched.stdout)
    assert "succeeded · 2/2 trials" in watched.stderr
    request = client.job(job)["request"]
    assert request["search_space"]["units"]["values"] == [4, 8]
    assert (request["budget"]["max_trials"], request["budget"]["epochs"]) == (2, 2)
    assert (request["evaluation"]["method"], request["seed"]) == ("holdout", 3)
    assert client.job(job)["tags"] == ["nightly"]


def test_tune_waits_for_the_end_when_it_is_watched(luthier: Luthier) -> None:
    done = luthier("tune", PENGUINS, "-t", "sex", *QUICK, "--watch", "--json", "-m", "cli-watched")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["state"] == "succeeded"
    assert "2/2 trials" in done.stderr


def test_a_dry_run_shows_a_plan_and_starts_nothing(luthier: Luthier, client: Client) -> None:
    chosen = ("--trials", "7", "--exclude", "year", "--dry-run", "-m", "cli-never")
    shown = luthier("tune", PENGUINS, "-t", "body_mass_g", *chosen)
    assert shown.exit_code == 0, shown.output
    assert ["trials", "7"] in rows_of(shown.stdout)
    (columns,) = [row for row in rows_of(shown.stdout) if row[0] == "columns"]
    assert columns[-1] == "sex"
    assert client.jobs(model="cli-never") == []


def test_jobs_are_listed(luthier: Luthier, trained: Job, client: Client) -> None:
    listed = luthier("jobs", "--model", "cli-penguins")
    header, row = rows_of(listed.stdout)
    assert header[:3] == ["job", "state", "model"]
    assert row[:4] == [trained.id, "succeeded", "cli-penguins", "2/2"]
    body = json.loads(luthier("jobs", "--model", "cli-penguins", "--json").stdout)
    assert body == client.request("GET", "/tune", params={"model": "cli-penguins"}).json()
    assert luthier("jobs", "--tag", "no-such-tag").stdout == "There are no jobs.\n"


def test_a_job_is_shown_with_its_conclusion(luthier: Luthier, trained: Job, client: Client) -> None:
    text = luthier("job", trained.id).stdout
    assert trained["conclusion"] in text
    assert json.loads(luthier("job", trained.id, "--json").stdout) == client.job(trained.id)


def test_trials_are_listed_best_first_and_as_csv(luthier: Luthier, trained: Job) -> None:
    header, *rows = rows_of(luthier("trials", trained.id).stdout)
    assert header == ["trial", "state", "score", "seconds", "values"]
    assert int(rows[0][0]) == trained["best_trial"]["number"]
    items = json.loads(luthier("trials", trained.id, "--json", "--limit", "1").stdout)["items"]
    assert [trial["number"] for trial in items] == [trained["best_trial"]["number"]]
    table = list(csv.DictReader(io.StringIO(luthier("trials", trained.id, "--csv").stdout)))
    assert {row["values.units"] for row in table} == {"4", "8"}


def test_jobs_are_compared(luthier: Luthier, trained: Job) -> None:
    other = luthier(
        "tune", PENGUINS, "-t", "body_mass_g", *QUICK, "-w", "--json", "-m", "cli-other"
    )
    ids = [trained.id, json.loads(other.stdout)["id"]]
    header, *rows = rows_of(luthier("compare", *ids, "--force").stdout)
    assert header[:2] == ["job", "strategy"]
    assert [row[:2] for row in rows[:2]] == [[ids[0], "grid"], [ids[1], "random"]]
    body = json.loads(luthier("compare", *ids, "--force", "--json").stdout)
    assert [item["id"] for item in body["items"]] == ids
    alone = luthier("compare", trained.id)
    assert (alone.exit_code, alone.stderr.startswith("Error: Give at least two jobs.")) == (2, True)


def test_a_job_is_paused_resumed_finished_and_cancelled(luthier: Luthier, client: Client) -> None:
    many = ("--trials", "500", "--epochs", "100", "--set", "evaluation.method=holdout")
    made = luthier(
        "tune",
        PENGUINS,
        "-t",
        "year",
        *many,
        "--set",
        "evaluation.method=holdout",
        "--json",
        "-m",
        "cli-long",
    )
    job = json.loads(made.stdout)["id"]
    assert luthier("pause", job).stdout == f"{job} paused\n"
    assert json.loads(luthier("resume", job, "--json").stdout)["state"] in ("queued", "running")
    assert json.loads(luthier("cancel", job, "--json").stdout)["state"] in (
        "cancelling",
        "cancelled",
    )
    ended = luthier("job", job, "--watch")
    assert ended.exit_code == 1, "a cancelled job is no success"
    assert ["state", "cancelled"] in rows_of(ended.stdout)


def test_a_trial_of_an_ended_job_becomes_a_version(luthier: Luthier, trained: Job) -> None:
    worse = next(n for n in (1, 2) if n != trained["best_trial"]["number"])
    made = luthier("finish", trained.id, "--trial", str(worse), "--json")
    assert made.exit_code == 0, made.output
    assert luthier("job", trained.id, "--watch").exit_code == 0
    header, *rows = rows_of(luthier("model", "cli-penguins").stdout)
    assert header[:3] == ["version", "aliases", "task"]
    assert {row[0] for row in rows} == {"1", "2"}
    promoted = luthier("promote", "cli-penguins", "2", "--reason", "a try")
    assert promoted.stdout == "The champion of cli-penguins is version 2.\n"
    back = luthier("rollback", "cli-penguins", "--reason", "it was one", "--json")
    assert json.loads(back.stdout)["aliases"]["champion"] == 1
    history = luthier("model", "cli-penguins", "--history").stdout
    assert "a try" in history
    assert "it was one" in history


def test_models_and_versions_are_shown(luthier: Luthier, trained: Job) -> None:
    listed = {row[0]: row for row in rows_of(luthier("models").stdout)[1:]}
    assert "cli-penguins" in listed
    items = json.loads(luthier("models", "--json").stdout)["items"]
    assert "cli-penguins" in [item["name"] for item in items]
    detail = luthier("model", "cli-penguins", "--version", "1").stdout
    assert ["job", trained.id] in rows_of(detail)
    version = json.loads(luthier("model", "cli-penguins", "--version", "1", "--json").stdout)
    assert version["job"] == trained.id


def test_a_version_is_exported(luthier: Luthier, trained: Job, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = luthier("export", "cli-penguins", "--version", "1", "--output", str(folder))
    assert done.exit_code == 0, done.output
    names = {path.name for path in folder.iterdir()}
    assert {"model.onnx", "preprocessing.json", "signature.json", "README.md"} <= names
    refused = luthier("export", "cli-penguins", "--file", "other.bin", "--output", str(folder))
    assert refused.exit_code == 1
    assert "model.onnx" in refused.stderr


def test_rows_come_out_with_their_predictions(
    luthier: Luthier, trained: Job, client: Client, tmp_path: Path
) -> None:
    with Path(PENGUINS).open(encoding="utf-8", newline="") as file:
        known = list(csv.DictReader(file))
    out = tmp_path / "out.csv"
    arguments = ("--model", "cli-penguins", "--version", "1", "--interval", "0.9")
    done = luthier("predict", PENGUINS, *arguments, "--output", str(out))
    assert done.exit_code == 0, done.output
    with out.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    answer = client.predict("cli-penguins", known, version=1, interval=0.9)
    assert [{name: row[name] for name in known[0]} for row in found] == known
    assert [float(row["prediction"]) for row in found] == pytest.approx(answer["predictions"])
    assert [float(row["upper"]) for row in found] == pytest.approx(answer["upper"])


def test_standard_input_is_predicted_with_its_own_delimiter(luthier: Luthier, trained: Job) -> None:
    lines = Path(PENGUINS).read_text(encoding="utf-8").splitlines()[:3]
    text = "\n".join(line.replace(",", ";") for line in lines)
    done = luthier("predict", "-", "-m", "cli-penguins", text=text)
    header, *rows = done.stdout.splitlines()
    assert header == lines[0].replace(",", ";") + ";prediction"
    assert [row.rpartition(";")[0] for row in rows] == [
        line.replace(",", ";") for line in lines[1:]
    ]
    answers = luthier("predict", "-", "-m", "cli-penguins", "--json", text=text).stdout
    assert len(json.loads(answers)["predictions"]) == 2


def test_a_file_that_cannot_be_predicted_leaves_the_old_output(
    luthier: Luthier, trained: Job, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("old", encoding="utf-8")
    ragged = "species,island\nAdelie\n"
    more = ("-m", "cli-penguins", "--missing-as-null", "-o", str(out))
    refused = luthier("predict", "-", *more, text=ragged)
    assert (refused.exit_code, out.read_text("utf-8")) == (1, "old")
    assert refused.stderr == "Error: -: row 2 has 1 cells, the header has 2.\n"
    unknown = luthier("predict", "-", *more, text="species,colour\nAdelie,red\n")
    assert (unknown.exit_code, out.read_text("utf-8")) == (1, "old")
    assert "colour" in unknown.stderr
    allowed = luthier(
        "predict", "-", *more, "--ignore-unknown", text="species,colour\nAdelie,red\n"
    )
    assert allowed.exit_code == 0, allowed.output
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    latin = tmp_path / "latin.csv"
    latin.write_bytes("species,größe\nAdelie,1\n".encode("latin-1"))
    unread = luthier("predict", str(latin), *more)
    assert "--encoding latin-1" in unread.stderr
    assert (unread.exit_code, "it cannot be read: 'utf-8'" in unread.stderr) == (1, True)
    latin_1 = luthier("predict", str(latin), *more, "--ignore-unknown", "--encoding", "latin-1")
    assert latin_1.exit_code == 0, latin_1.output
    assert out.read_text("utf-8").startswith("species,größe,prediction\nAdelie,1,")


@pytest.mark.parametrize("ending", ["xlsx", "parquet", "feather", "jsonl"])
def test_a_damaged_file_is_refused_in_one_line(
    luthier: Luthier, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"damaged.{ending}"
    path.write_bytes(b"none of these formats")
    done = luthier("predict", str(path), "-m", "m")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {path}: it cannot be read: ")
    assert done.stderr.count("\n") == 1


def test_datasets_are_uploaded_shown_listed_and_deleted(luthier: Luthier, tmp_path: Path) -> None:
    file = tmp_path / "cli-rows.csv"
    file.write_text("zip;price\n" + "".join(f"{1000 + n};{n},5\n" for n in range(9)), "utf-8")
    more = ("--type", "zip=category", "--option", "decimal=,")
    made = luthier("datasets", "upload", str(file), *more, "--json")
    body = json.loads(made.stdout)
    assert {column["name"]: column["type"] for column in body["columns"]} == {
        "zip": "category",
        "price": "number",
    }
    shown = luthier("datasets", "show", body["id"]).stdout
    assert ["zip", "category"] in [row[:2] for row in rows_of(shown)]
    listed = rows_of(luthier("datasets", "list", "--limit", "1000").stdout)
    assert body["id"] in [row[0] for row in listed]
    assert luthier("datasets", "delete", body["id"]).stdout == f"{body['id']} is deleted.\n"
    gone = luthier("datasets", "show", body["id"])
    assert (gone.exit_code, gone.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (("job", "job_none"), 1, "Error: There is no job 'job_none'."),
        (("tune", "none.csv", "-t", "a"), 2, "Error: There is no file 'none.csv'."),
        (("tune", PENGUINS, "-t", "body_mas_g"), 1, "Error: target: "),
        (("tune", PENGUINS, "-t", "year", "--set", "trials"), 2, "Error: --set 'trials': expected"),
        (("tune", PENGUINS, "-t", "year", "--set", "no_field=1"), 1, "Error: no_field: "),
        (("tune", PENGUINS, "-t", "year", "--space", "none.json"), 2, "Error: --space none.json: "),
        (("predict", "none.csv", "-m", "m"), 1, "Error: none.csv: No such file"),
        (("promote", "no-model", "1"), 1, "Error: "),
        (("jobs", "--url", "localhost"), 2, "Error: --url: "),
        (("jobs", "--state", "sleeping"), 2, "Error: Invalid value for '--state'"),
        (("jobz",), 2, "Error: No such command 'jobz'."),
    ],
)
def test_an_error_is_one_line_with_an_exit_code(
    luthier: Luthier, arguments: tuple[str, ...], exit_code: int, message: str
) -> None:
    done = luthier(*arguments)
    assert done.exit_code == exit_code, done.output
    assert done.stdout == ""
    assert done.stderr.startswith(message), done.stderr
    assert done.stderr.count("\n") == 1
