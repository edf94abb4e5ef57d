"""Run the programs of versions' README.md in folders of their files; started as a script.

Arguments are folders. In each, the program for ONNX Runtime is run as it stands, then it and that
for Keras on the rows of `rows.json`. Standard output is a list of their `answers` and
`predictions`.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

_ROWS = re.compile(r"^rows = .*$", re.MULTILINE)


def blocks(page: str) -> list[str]:
    """The Python programs of a README.md."""
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def with_rows(program: str) -> str:
    """A program that reads its rows from `rows.json`."""
    changed, count = _ROWS.subn('rows = json.load(open("rows.json", encoding="utf-8"))', program)
    assert count == 1
    return changed


def run(page: str) -> list[dict[str, Any]]:
    """Answers of the program for ONNX Runtime as it stands, then of both for `rows.json`."""
    onnx, keras = blocks(page)[:2]
    found: list[dict[str, Any]] = []
    _run(onnx, {}, found)
    scope: dict[str, Any] = {}
    for program in (with_rows(onnx), keras):
        _run(program, scope, found)
    return found


def _run(program: str, scope: dict[str, Any], found: list[dict[str, Any]]) -> None:
    exec(compile(program, "README.md", "exec"), scope)
    found.append({"answers": scope["answers"].tolist(), "predictions": scope["predictions"]})


if __name__ == "__main__":
    results = []
    shown, sys.stdout = sys.stdout, sys.stderr
    for folder in sys.argv[1:]:
        os.chdir(folder)
        results.append(run(Path("README.md").read_text(encoding="utf-8")))
    ours = {name.partition(".")[0] for name in sys.modules} & {"luthier", "models", "api", "tests"}
    assert not ours, ours
    json.dump(results, shown)
