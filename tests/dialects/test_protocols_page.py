"""Every example of docs/protocols.md runs as it stands."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.versions import PRICES
from tests.waiting import PATIENCE

PAGE = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.S)
PRICE, OTHER = PRICES[0], 30.0 + 2 + 19875.0
EXPECTED: list[Any] = [
    {"predictions": [PRICE]},
    {
        "model_name": "flats",
        "model_version": "1",
        "id": "1",
        "outputs": [
            {"name": "prediction", "datatype": "FP64", "shape": [2], "data": [PRICE, OTHER]}
        ],
    },
    [PRICE],
    {"predictions": [PRICE, OTHER]},
    [PRICE],
    None,  # a schema: tests/dialects/test_row_schema.py
]


def test_each_protocol_has_an_example() -> None:
    assert len(BLOCKS) == len(EXPECTED)


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_an_example_runs(served: str, grpc_served: str, tmp_path: Path, number: int) -> None:
    script = BLOCKS[number].replace("localhost:8000", served)
    if "tritonclient" in script:
        pytest.importorskip("tritonclient.grpc")
        script = script.replace("localhost:8001", grpc_served)
        script = re.sub("^pip install .*\n", "", script, flags=re.M)
    script = re.sub("^python ", f"{sys.executable} ", script, flags=re.M)
    done = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == EXPECTED[number] or EXPECTED[number] is None
