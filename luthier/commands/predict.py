"""`luthier predict`: rows in, the same rows with predictions out."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any

import click

from luthier.client import Client
from luthier.commands.connection import Failure, Service, with_service

_ROWS_AT_ONCE = 2_000
_SAMPLE = 65_536  # characters in which the delimiter is looked for
_DELIMITERS = ",;\t|"


@click.command()
@click.argument("file", default="-")
@click.option("--model", "-m", help="Model to ask. Default: the only one there is.")
@click.option("--version", type=click.IntRange(1), help="Version. Default: the champion.")
@click.option("--alias", help="Alias in place of the champion.")
@click.option(
    "--interval",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Level of intervals or label sets, such as 0.9.",
)
@click.option("--ignore-unknown", is_flag=True, help="Allow columns that the model does not know.")
@click.option("--missing-as-null", is_flag=True, help="Take missing columns as empty.")
@click.option("--encoding", default="utf-8-sig", help="Of delimited text. Default: UTF-8.")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Default: standard output.")
@with_service()
def predict(
    service: Service,
    file: str,
    model: str | None,
    output: str | None,
    encoding: str,
    ignore_unknown: bool,
    missing_as_null: bool,
    **wanted: Any,
) -> None:
    """Predict the rows of FILE: the rows come out as they are, with the predictions as columns.

    FILE is delimited text with a line of headers, or `-` for standard input; XLSX, ODS, Parquet and
    JSON Lines are read by pandas. With --json, the rows come out as the API's answers, one a line.

    \b
    luthier predict new.csv > out.csv
    luthier predict new.csv --model penguins --interval 0.9 --output out.csv
    head -5 examples/penguins.csv | luthier predict -
    """
    options = {name: value for name, value in wanted.items() if value is not None}
    if ignore_unknown:
        options["unknown_columns"] = "ignore"
    if missing_as_null:
        options["missing_columns"] = "null"
    name = model or _only_model(service.client)
    with ExitStack() as stack:
        rows = stack.enter_context(_Rows(file, encoding))
        sink: IO[str] = sys.stdout
        if output:
            # Written beside the file, which is replaced only when all rows are there.
            sink = stack.enter_context(_Replaced(Path(output)))
        if service.as_json:
            for part in rows.parts():
                sink.write(json.dumps(_answer(service.client, name, rows, part, options)) + "\n")
        else:
            _write_table(service.client, name, rows, sink, options)


class _Replaced:
    """A text file that takes the place of another when its block ends without an error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.part")

    def __enter__(self) -> IO[str]:
        try:
            self._file = self._part.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise Failure(f"{self._path}: {error.strerror}.") from None
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)


class _Rows:
    """The rows of a file as texts, with the names of their columns."""

    def __init__(self, file: str, encoding: str) -> None:
        self.name = file
        self._encoding = encoding
        self.columns: list[str] = []
        self.delimiter = ","
        self._file: IO[str] | None = None
        self._reader: Iterator[list[str]] = iter(())

    def __enter__(self) -> "_Rows":
        try:
            self._open()
            self.columns = next(self._reader, [])
        except OSError as error:
            self.__exit__()
            raise Failure(f"{self.name}: {error.strerror or error}.") from None
        except (LookupError, UnicodeDecodeError, csv.Error) as error:
            self.__exit__()
            raise _unreadable(self.name, error) from None
        if not self.columns:
            self.__exit__()
            raise Failure(f"{self.name}: there are no rows.")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def parts(self) -> Iterator[list[list[str]]]:
        """Yield the rows in parts that one request takes; raises Failure for ragged rows."""
        first = 2
        while part := self._next_rows():
            for number, row in enumerate(part, first):
                if len(row) != len(self.columns):
                    raise Failure(
                        f"{self.name}: row {number} has {len(row)} cells, the header has"
                        f" {len(self.columns)}."
                    )
            first += len(part)
            yield part

    def _next_rows(self) -> list[list[str]]:
        try:
            return list(islice(self._reader, _ROWS_AT_ONCE))
        except (UnicodeDecodeError, csv.Error) as error:
            raise _unreadable(self.name, error) from None

    def _open(self) -> None:
        if Path(self.name).suffix.lower() in _FRAMES:
            self._reader = _frame_rows(Path(self.name))
            return
        if self.name == "-":
            text = sys.stdin.buffer.read().decode(self._encoding)
            self._file = io.StringIO(text, newline="")
        else:
            self._file = open(self.name, encoding=self._encoding, newline="")  # noqa: SIM115
        sample = self._file.read(_SAMPLE)
        self._file.seek(0)
        self.delimiter = delimiter_of(sample)
        self._reader = (row for row in csv.reader(self._file, delimiter=self.delimiter) if row)


def _unreadable(name: str, error: Exception) -> Failure:
    text = f"{name}: it cannot be read: {str(error).rstrip('.')}."
    if isinstance(error, UnicodeDecodeError):
        text += " Give its encoding, such as --encoding latin-1."
    return Failure(text)


def delimiter_of(sample: str) -> str:
    """Return the delimiter that is most frequent in the line of headers."""
    line = sample.partition("\n")[0]
    return max(_DELIMITERS, key=line.count)


def _frame_rows(path: Path) -> Iterator[list[str]]:
    """Yield the header and the rows of a file that pandas reads, as texts."""
    import pandas as pd

    try:
        frame: pd.DataFrame = getattr(pd, _FRAMES[path.suffix.lower()])(path, **_options(path))
    except OSError:
        raise
    except Exception as error:  # each format has errors of its own
        raise _unreadable(str(path), error) from None
    yield [str(name) for name in frame.columns]
    for row in frame.itertuples(index=False, name=None):
        yield ["" if cell is None or cell != cell else str(cell) for cell in row]


_FRAMES = {
    ".parquet": "read_parquet",
    ".feather": "read_feather",
    ".xlsx": "read_excel",
    ".xls": "read_excel",
    ".ods": "read_excel",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
}


def _options(path: Path) -> dict[str, Any]:
    kind = _FRAMES[path.suffix.lower()]
    if kind == "read_excel":
        return {"engine": "calamine", "dtype": str}
    return {"lines": True} if kind == "read_json" else {}


def _write_table(
    client: Client, model: str, rows: _Rows, sink: IO[str], options: dict[str, Any]
) -> None:
    """Write the rows with the columns of their predictions behind."""
    writer = csv.writer(sink, delimiter=rows.delimiter, lineterminator="\n")
    has_header = False
    for part in rows.parts():
        text = client.predict_file(model, _csv(rows.columns, part), "text/csv", **options)
        answers = csv.reader(io.StringIO(text, newline=""))
        names = next(answers)
        if not has_header:
            writer.writerow([*rows.columns, *new_names(names, rows.columns)])
            has_header = True
        for row, answer in zip(part, answers, strict=True):
            writer.writerow([*row, *answer])
    if not has_header:
        raise Failure(f"{rows.name}: there are no rows.")


def new_names(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return names for the columns of predictions that no column of the rows has."""
    found = []
    for name in names:
        new, number = name, 1
        while new in taken:
            number += 1
            new = f"{name}_{number}"
        found.append(new)
    return found


def _answer(
    client: Client, model: str, rows: _Rows, part: list[list[str]], options: dict[str, Any]
) -> Any:
    """Return the API's answer for some rows."""
    return client.request(
        "POST",
        "/predict",
        content=_csv(rows.columns, part),
        params={"model": model, **options},
        headers={"Content-Type": "text/csv", "Accept": "application/json"},
    ).json()


def _csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def _only_model(client: Client) -> str:
    names = [found["name"] for found in client.models(limit=10)]
    if len(names) == 1:
        return str(names[0])
    if not names:
        raise Failure("There is no model yet. Make one: luthier tune FILE --target COLUMN")
    raise click.UsageError(f"Say which --model: {', '.join(names)}.")
