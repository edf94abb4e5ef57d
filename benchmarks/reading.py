"""Compare how Luthier, pandas and DuckDB read messy CSV files: `python -m benchmarks.reading`.

FOLDER is `polluted_files` or `survey_sample` of the Pollock benchmark (G. Vitagliano et al.,
"Pollock: A Data Loading Benchmark", VLDB 2023): `csv` holds the files, `clean` the same tables as
plain CSV, `parameters` what is known of each. A table has the right shape if rows and columns are
those of the clean one; columns without a name and without a cell may be left out. Its cells are
right if they also equal the clean ones, trimmed. A file without any row is read rightly if it is
refused.
"""

import csv
import json
import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table as Shown

Rows = list[list[str]]
Reader = Callable[[Path], Rows]

csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True, slots=True)
class Clean:
    """What a file should be read as."""

    rows: Rows  # without the header
    columns: int
    nameless: int  # columns at the end without name and cells

    def judge(self, found: Rows, columns: int) -> str:
        """Return `cells` for a table that is right, `shape` for one of that shape, or `wrong`."""
        widths = (self.columns, self.columns - self.nameless)
        if len(found) != len(self.rows) or columns not in widths:
            return "wrong"
        same = all(
            [cell.strip() for cell in row] == [cell.strip() for cell in clean[:columns]]
            for row, clean in zip(found, self.rows, strict=True)
        )
        return "cells" if same else "shape"


def read_clean(folder: Path, name: str) -> Clean:
    """Read the clean table of a file; its first row is the header unless the file starts so."""
    with open(folder / "clean" / name, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    rows = [row for row in rows if row]
    if not rows:
        return Clean([], 0, 0)
    header: list[str] = rows[0]
    if _has_no_header(folder, name, header):
        header = [""] * len(header)
    else:
        rows = rows[1:]
    columns = max(Counter(map(len, rows)).most_common(1)[0][0] if rows else 0, len(header))
    rows = [row + [""] * (columns - len(row)) for row in rows]
    header = header + [""] * (columns - len(header))
    nameless = 0
    while nameless < columns and not header[-1 - nameless].strip():
        if any(row[-1 - nameless].strip() for row in rows):
            break
        nameless += 1
    return Clean(rows, columns, nameless)


def _has_no_header(folder: Path, name: str, first: list[str]) -> bool:
    parameters = folder / "parameters" / f"{name}_parameters.json"
    if not parameters.exists() or int(json.loads(parameters.read_text())["header_lines"]):
        return False
    line = next(iter((folder / "csv" / name).read_bytes().splitlines()), b"")
    delimiter = json.loads(parameters.read_text())["delimiter"].encode() or b","
    quotes = b"'\" "
    cells = [cell.strip(quotes) for cell in line.split(delimiter)]
    return cells[:2] == [cell.strip(quotes.decode()).encode() for cell in first[:2]]


def luthier(path: Path) -> tuple[Rows, int]:
    """Read a file by Luthier."""
    from models.data.formats.reading import read_table

    table = read_table(path.read_bytes(), path.name, None)
    columns = [column.to_pylist() for column in table.cells.values()]
    rows = [
        ["" if cell is None else str(cell) for cell in row] for row in zip(*columns, strict=True)
    ]
    return rows, len(columns)


def pandas(path: Path) -> tuple[Rows, int]:
    """Read a file by `pandas.read_csv`, by default but for the types."""
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return frame.fillna("").to_numpy().tolist(), frame.shape[1]


def duckdb(path: Path) -> tuple[Rows, int]:
    """Read a file by DuckDB's `read_csv`, which sniffs; by default but for the types."""
    import duckdb as engine

    found = engine.connect().execute("SELECT * FROM read_csv(?, all_varchar = true)", [str(path)])
    columns = len(found.description)
    return [["" if cell is None else cell for cell in row] for row in found.fetchall()], columns


READERS: dict[str, Callable[[Path], tuple[Rows, int]]] = {
    "Luthier": luthier,
    "pandas": pandas,
    "DuckDB": duckdb,
}


def compare(folder: Path, every: int, misses: bool) -> None:
    """Read every n-th file by each reader and print the counts."""
    names = sorted(path.name for path in (folder / "csv").iterdir())[::every]
    counts = {reader: Counter[str]() for reader in READERS}
    missed: list[tuple[str, str, str]] = []
    seconds = dict.fromkeys(READERS, 0.0)
    for name in names:
        clean = read_clean(folder, name)
        for reader, read in READERS.items():
            begin = time.perf_counter()
            verdict, why = _verdict(read, folder / "csv" / name, clean)
            seconds[reader] += time.perf_counter() - begin
            counts[reader][verdict] += 1
            if reader == "Luthier" and verdict in ("wrong", "refused"):
                missed.append((name, verdict, why))
    shown = Shown("reader", "right shape", "of these right cells", "wrong", "refused", "seconds")
    for reader, count in counts.items():
        right = count["cells"] + count["shape"]
        figures = (right, count["cells"], count["wrong"], count["refused"])
        shown.add_row(reader, *map(str, figures), f"{seconds[reader]:.1f}")
    Console(width=100).print(f"{len(names)} files of {folder.name}", shown)
    for name, verdict, why in missed if misses else ():
        print(f"{verdict}: {name}: {why}")


def _verdict(read: Callable[[Path], tuple[Rows, int]], path: Path, clean: Clean) -> tuple[str, str]:
    try:
        rows, columns = read(path)
    except Exception as error:  # whatever a reader raises, it has refused the file
        if not clean.rows:
            return "cells", ""
        return "refused", str(error).split("\n")[0][:200]
    wanted = f"{len(clean.rows)} × {clean.columns}"
    return clean.judge(rows, columns), f"found {len(rows)} × {columns}, wanted {wanted}"


def measure_large(gigabytes: float, folder: Path) -> None:
    """Write a CSV of that size; print time, CPU time and peak memory of each reader, one by one."""
    path = folder / "large.csv"
    write_large(path, int(gigabytes * 1e9))
    shown = Shown("reader", "seconds", "CPU seconds", "peak memory, GB")
    try:
        for name in ("Luthier", "pandas"):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, busy, peak = pool.apply(_measure, (name, str(path)))
            shown.add_row(name, f"{seconds:.1f}", f"{busy:.1f}", f"{peak / 1e9:.2f}")
    finally:
        path.unlink()
    Console(width=100).print(f"a CSV of {gigabytes} GB", shown)


def write_large(path: Path, size: int) -> None:
    """Write numbers, categories, dates and quoted texts until the file has `size` bytes."""
    generator = np.random.default_rng(0)
    lines = []
    for number in range(20_000):
        a, b, c = generator.normal(size=3).round(6)
        word = generator.choice(["red", "green", "blue"])
        lines.append(
            f'{number},{a},{b},{c},{word},2024-05-{number % 28 + 1:02},"a text, with ""quotes"""'
        )
    block = ("\n".join(lines) + "\n").encode()
    with open(path, "wb") as file:
        file.write(b"id,a,b,c,colour,day,note\n")
        for _ in range(size // len(block)):
            file.write(block)


def _measure(name: str, path: str) -> tuple[float, float, float]:
    """Read a file in this process; return seconds, CPU seconds and peak memory in bytes."""
    begin, busy = time.perf_counter(), time.process_time()
    if name == "Luthier":
        from models.data.formats.limits import TableLimits
        from models.data.formats.reading import read_table

        limits = TableLimits(2**40, 10**9, 10_000, 100_000)
        table: object = read_table(Path(path).read_bytes(), path, None, limits=limits)
    else:
        import pandas as pd

        table = pd.read_csv(path)
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    assert table is not None
    return seconds, busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--every", default=1, help="Read every n-th file only.")
@click.option("--misses", is_flag=True, help="List the files that Luthier reads wrongly.")
@click.option("--large", type=float, help="Read a written CSV of so many GB in FOLDER instead.")
def main(folder: Path, every: int, misses: bool, large: float | None) -> None:
    """Compare readers over FOLDER/csv and FOLDER/clean."""
    if large is not None:
        measure_large(large, folder)
    else:
        compare(folder, every, misses)


if __name__ == "__main__":
    main()
