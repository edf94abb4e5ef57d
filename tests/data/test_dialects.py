"""A table that Python's csv module writes, in any dialect, is read back to the same cells."""

import csv
import io

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.data.formats.delimited.decoding import decode
from models.data.formats.delimited.parsing import Dialect, RecordParser
from models.data.formats.delimited.rows import read_rows
from models.data.formats.limits import DEFAULT_LIMITS
from models.data.formats.reading import read_table
from models.data.table import ReadOptions

many = settings(deadline=None, max_examples=150, derandomize=True, database=None)

ANY_TEXT = st.text(
    st.sampled_from("ab1 é€,;\t|'\"\n\r#") | st.characters(exclude_categories=["Cs", "Cc"]),
    max_size=8,
)
WORDS = st.text("abcdefgh é", min_size=1, max_size=8).map(str.strip).filter(bool)
NUMBERS = st.integers(-999, 999).map(str) | st.floats(-9, 9).map(lambda x: f"{x:.3f}")


@st.composite
def dialects(draw):
    escaped = draw(st.booleans())
    return {
        "delimiter": draw(st.sampled_from([",", ";", "\t", "|", "^", "~", ":"])),
        "quotechar": draw(st.sampled_from(['"', "'"])),
        "escapechar": "\\" if escaped else None,
        "doublequote": not escaped,
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n", "\r"])),
    }


def written(rows, dialect):
    text = io.StringIO(newline="")
    csv.writer(text, **dialect).writerows(rows)
    return text.getvalue().encode()


def known(dialect):
    return Dialect(
        dialect["delimiter"].encode(),
        dialect["quotechar"].encode(),
        (dialect["escapechar"] or "").encode(),
    )


@st.composite
def grids(draw, cell):
    width = draw(st.integers(2, 5))
    row = st.lists(cell, min_size=width, max_size=width)
    return draw(st.lists(row, min_size=1, max_size=12))


@many
@given(grids(ANY_TEXT), dialects())
def test_cells_come_back_under_the_dialect_that_they_were_written_in(rows, dialect):
    assume(all(any(cell.strip() for cell in row) for row in rows))
    assume(not any(row[0].lstrip().startswith(("#", "//")) for row in rows))
    # Python's writer leaves a line end that is not its own without quotes.
    text = "".join(map("".join, rows))
    assume("\r" not in text and (dialect["lineterminator"] != "\r" or "\n" not in text))
    content = written(rows, dialect)
    width = len(rows[0])
    records = list(RecordParser(content, known(dialect), width).records(0, len(content)))
    assert [[cell.decode() for cell in record.cells] for record in records] == rows
    found = read_rows(content, known(dialect), 0, len(content), width, DEFAULT_LIMITS)
    columns = [column.to_pylist() for column in found.columns]
    assert [list(row) for row in zip(*columns, strict=True)] == rows
    assert (found.padded, found.cut, found.repaired) == (0, 0, 0)


@st.composite
def ordinary_tables(draw):
    """Rows of a number, words with delimiters in them, and another number, under a header."""
    text = st.lists(WORDS, min_size=1, max_size=3).map(", ".join)
    rows = draw(st.lists(st.tuples(NUMBERS, text, NUMBERS), min_size=4, max_size=20))
    return [["size", "note", "weight"], *map(list, rows)]


@many
@given(ordinary_tables(), dialects(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_an_ordinary_table_is_read_back_without_being_told_the_dialect(rows, dialect, encoding):
    table = read_table(written(rows, dialect).decode().encode(encoding), "a.txt", None)
    assert list(table.cells) == rows[0]
    columns = [column.to_pylist() for column in table.cells.values()]
    assert [list(row) for row in zip(*columns, strict=True)] == rows[1:]


@many
@given(st.binary(max_size=200) | st.text("a1,;\"'\\\n\r\t #", max_size=60).map(str.encode))
def test_no_row_is_lost_and_the_parser_ends(content):
    parser = RecordParser(content, Dialect(b","), 3)
    records = list(parser.records(0, len(content)))
    assert all(record.end > record.start for record in records)
    lines = [line for line in content.replace(b"\r", b"\n").split(b"\n") if line]
    assert bool(records) == bool(lines)


@many
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_text_is_the_same_in_every_encoding(text):
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert decode(text.encode(encoding)).content.decode() == text
        assert decode(text.encode(encoding), encoding).content.decode() == text
    options = ReadOptions(encoding="utf-8", header="none", delimiter=";")
    assume(text.strip() and not set(text) & set(";\"'#/\x85\u2028") and "\xa0" not in text)
    table = read_table(f"{text};1\n2;3\n".encode(), None, None, options)
    assert table.cells["column_1"].to_pylist() == [text, "2"]
