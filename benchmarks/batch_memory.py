"""The memory that a batch takes, by the number of its rows.

`python -m benchmarks.batch_memory 1 4` predicts datasets of 1 and of 4 million rows: ten columns of
numbers and one of ids, by a version of one column that is published without training. For each
format it prints the peak of the resident memory of the batch's process, and its rows a second of
processor time.
"""

import argparse
import os
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import replace

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from models.batches.catalog import BatchCatalog, new_batch_id
from models.batches.model import BatchSpec, piece_rows
from models.batches.process import BatchTask, start
from models.batches.queue import BatchQueue
from models.data.columns import ColumnType, measure
from models.data.dataset import Dataset
from models.data.library.catalog import DatasetCatalog
from models.data.library.profile import profile
from models.data.library.storage import write_dataset
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.migrate import migrate
from tests.tiny_versions import publish_version

COLUMNS = 10  # of numbers


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("millions", type=float, nargs="*", default=[1.0, 4.0])
    table = Table("rows", "format", "peak, MB", "rows/s of CPU", "result, MB")
    for millions in arguments.parse_args().millions:
        for form in ("csv", "parquet"):
            with tempfile.TemporaryDirectory() as folder:
                settings = Settings(data=folder, log_level="WARNING")
                found = _predict(settings, round(millions * 1e6), form)
            table.add_row(f"{millions:g} million", form, *(f"{figure:,.0f}" for figure in found))
    Console().print(table)


def _predict(settings: Settings, rows: int, form: str) -> tuple[float, float, float]:
    """Return a batch's peak in MB, its rows a second of CPU, and the MB of its result."""
    artifacts = Artifacts(settings.resolved_artifacts)
    with closing(Database(settings.resolved_database_url)) as database:
        migrate(database)
        publish_version(database, artifacts)
        dataset = _rows(rows)
        write_dataset(dataset, artifacts, "ds_rows")
        DatasetCatalog(database).add(
            "ds_rows", rows, profile(replace(dataset, columns=dataset.columns[:1])), None, None
        )
        spec = BatchSpec("csv" if form == "csv" else "parquet", ("id",), piece_rows(2))
        catalog = BatchCatalog(database)
        batch = catalog.add(new_batch_id(), "m", 1, "ds_rows", spec, rows).id
        del dataset
        held = BatchQueue(database, "benchmark", 3600.0).claim()
        assert held is not None
        task = BatchTask.of(settings, batch, held.owner, held.claim)
        peak, seconds = _usage(start(task))
        ended = catalog.get(batch)
        assert ended.state == "succeeded", ended
        return peak / 1e6, rows / seconds, (ended.bytes or 0) / 1e6


def _rows(rows: int) -> Dataset:
    values: dict[str, np.ndarray] = {
        "id": np.array([f"id-{n:09}" for n in range(rows)], dtype=object)
    }
    random = np.random.default_rng(0)
    for number in range(COLUMNS):
        values["x" if number == 0 else f"x{number}"] = random.normal(size=rows)
    kinds = {name: ColumnType.NUMBER for name in values} | {"id": ColumnType.IGNORED}
    columns = tuple(measure(name, kinds[name], values[name][:1]) for name in values)
    return Dataset(columns, values)


def _usage(process: "subprocess.Popen[bytes]") -> tuple[float, float]:
    """Wait for a process; return the most bytes that it had in memory, and its processor time.

    `ru_maxrss` would count what this process had when it started the other.
    """
    peak = 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        with suppress(psutil.NoSuchProcess):
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return float(peak), usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
