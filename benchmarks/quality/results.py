"""Results as JSON lines: one for each run, after one about the machine for each call."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.fitting import Outcome
from benchmarks.quality.measures import Score, measure, measure_baseline
from benchmarks.quality.tables import Case


@dataclass(slots=True)
class Results:
    """The lines of a file; new ones are appended at once."""

    path: Path
    calls: list[dict[str, Any]]
    runs: list[dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Return what a file has; nothing if there is none.

        A last line without an end is left out: an interruption cut it off, or it is being written.
        """
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return cls(
            path,
            [line["call"] for line in lines if "call" in line],
            [line for line in lines if "call" not in line],
        )

    def begin(self, call: Mapping[str, Any]) -> None:
        """Keep command and machine of the runs that follow; remove a line without an end."""
        if self.path.exists():
            content = self.path.read_bytes()
            os.truncate(self.path, content.rfind(b"\n") + 1)
        self.calls.append(dict(call))
        self._append({"call": call})

    def add(self, run: Mapping[str, Any]) -> None:
        """Keep a run."""
        self.runs.append(dict(run))
        self._append(run)

    def find(self, rows: int, table: str, split: int, contender: str) -> dict[str, Any] | None:
        """Return the run of a contender on a split of a table of at most `rows` rows."""
        wanted = (rows, table, split, contender)
        for run in self.runs:
            if (run["max_rows"], run["table"], run["split"], run["contender"]) == wanted:
                return run
        return None

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def describe_run(
    case: Case, max_rows: int, contender: str, outcome: Outcome, limit: float | None = None
) -> dict[str, Any]:
    """Return a run as it is kept; one without predictions has the error of the baseline.

    So a contender that fails is neither left out nor infinitely bad (as in Gijsbers et al., AMLB:
    an AutoML Benchmark, JMLR 25, 2024).
    """
    state, reason = outcome.state, outcome.reason
    baseline = measure_baseline(case)
    score = Score(baseline, 0.5 if case.classes else None)
    if outcome.predictions is not None:
        try:
            score = measure(case, outcome.predictions)
        except ValueError as error:
            state, reason = "failed", str(error)
    return {
        "table": case.table.name,
        "task": case.table.task,
        "split": case.split,
        "max_rows": max_rows,
        "train_rows": len(case.train),
        "columns": case.train.shape[1] - 1,
        "contender": contender,
        "state": state,
        "reason": reason,
        "limit": limit,
        "seconds": outcome.seconds,
        "error": score.error,
        "auc": score.auc,
        "ece": score.ece,
        "covered": outcome.covered,
        "baseline": baseline,
        "bytes": outcome.bytes,
        "row_ms": outcome.row_ms,
    }
