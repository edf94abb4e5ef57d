"""A table of mixed columns in, twenty random trials, and rows held back by the caller predicted."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

PENGUINS = Path(__file__).parent.parent / "examples" / "penguins.csv"
TARGET = "body_mass_g"
WORDS = {"species", "island", "sex"}


def as_instance(row: dict[str, str]) -> dict[str, Any]:
    """Raw cells as JSON has them; a cell without a value is null."""
    return {
        name: None if cell == "NA" else cell if name in WORDS else float(cell)
        for name, cell in row.items()
        if name != TARGET
    }


def test_rows_that_were_never_uploaded_are_predicted_well(client, tmp_path):
    rows = list(csv.DictReader(PENGUINS.read_text(encoding="utf-8").splitlines()))
    order = np.random.default_rng(0).permutation(len(rows))
    held_back = [rows[index] for index in order[:70]]
    with (tmp_path / "known.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows[index] for index in order[70:])

    dataset = client.upload(tmp_path / "known.csv")
    types = {column["name"]: column["type"] for column in dataset["columns"]}
    assert types["species"] == types["sex"] == "category"
    assert types["bill_length_mm"] == types[TARGET] == "number"
    request = {"model": "held-back", "dataset": dataset["id"], "target": TARGET}
    job = client.wait(client.tune(request)["id"], every=0.2)
    assert job["state"] == "succeeded", job["error"]
    assert job["progress"]["completed"] == 20

    answer = client.predict("held-back", [as_instance(row) for row in held_back])
    truth = np.array([float(row[TARGET]) for row in held_back])
    residual = ((truth - np.array(answer["predictions"])) ** 2).sum()
    r2 = 1 - residual / ((truth - truth.mean()) ** 2).sum()
    assert r2 > 0.75
