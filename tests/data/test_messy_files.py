"""Every fault that a text file may have, and the table that is meant."""

import pytest

from models.data.formats.reading import read_table
from models.data.table import ReadOptions
from models.data.warnings import WarningCode
from models.errors import Invalid


def rows_of(table):
    columns = [column.to_pylist() for column in table.cells.values()]
    return [list(row) for row in zip(*columns, strict=True)]


def read(content, name="a.csv", **options):
    content = content.encode() if isinstance(content, str) else content
    return read_table(content, name, None, ReadOptions(**options))


PLAIN = [["1", "x"], ["2", "y"], ["3", "z"]]
FAULTS = {
    # Delimiters
    "comma": ("a,b\n1,x\n2,y\n3,z\n", ["a", "b"], PLAIN),
    "semicolon": ("a;b\n1;x\n2;y\n3;z\n", ["a", "b"], PLAIN),
    "tab": ("a\tb\n1\tx\n2\ty\n3\tz\n", ["a", "b"], PLAIN),
    "pipe": ("a|b\n1|x\n2|y\n3|z\n", ["a", "b"], PLAIN),
    "caret": ("a^b\n1^x\n2^y\n3^z\n", ["a", "b"], PLAIN),
    "tilde": ("a~b\n1~x\n2~y\n3~z\n", ["a", "b"], PLAIN),
    "colon": ("a:b\n1:x\n2:y\n3:z\n", ["a", "b"], PLAIN),
    "two colons": ("a::b\n1::x\n2::y\n3::z\n", ["a", "b"], PLAIN),
    "space": ("a b\n1 5.0\n2 6.0\n", ["a", "b"], [["1", "5.0"], ["2", "6.0"]]),
    "aligned": (
        "   a    b\n  1  5.0\n 20   6\n",
        ["a", "b"],
        [["1", "5.0"], ["20", "6"]],
    ),
    "decimal comma": (
        "price;note\n1,5;a, b\n-2,25;c\n",
        ["price", "note"],
        [["1,5", "a, b"], ["-2,25", "c"]],
    ),
    "one column": ("name\nGraz\nWien\n", ["name"], [["Graz"], ["Wien"]]),
    "one column of decimal commas": ("price\n1,5\n2,75\n", ["price"], [["1,5"], ["2,75"]]),
    "names of people": ("who\nAda Byron\nMax Frisch\n", ["who"], [["Ada Byron"], ["Max Frisch"]]),
    "sep line": ("sep=;\na;b\n1;x\n", ["a", "b"], [["1", "x"]]),
    # Quotes and escapes
    "quoted delimiter": ('a,b\n"x, y",1\nz,2\n', ["a", "b"], [["x, y", "1"], ["z", "2"]]),
    "quoted line end": ('a,b\n"x\ny",1\nz,2\n', ["a", "b"], [["x\ny", "1"], ["z", "2"]]),
    "doubled quote": ('a,b\n"x ""y""",1\nz,2\n', ["a", "b"], [['x "y"', "1"], ["z", "2"]]),
    "escaped quote": (
        'a,b\n"x \\"y\\" z",1\n"u, \\"v\\"",2\n',
        ["a", "b"],
        [['x "y" z', "1"], ['u, "v"', "2"]],
    ),
    "single quotes": (
        "a,b\n'x, y',1\n'it''s',2\n'z',3\n",
        ["a", "b"],
        [["x, y", "1"], ["it's", "2"], ["z", "3"]],
    ),
    "apostrophes": ("a,b\nit's,1\n'tis,2\n", ["a", "b"], [["it's", "1"], ["'tis", "2"]]),
    "inches": ('a,b\n5" pipe,1\n6" pipe,2\n', ["a", "b"], [['5" pipe', "1"], ['6" pipe', "2"]]),
    "stray quote that opens a cell": (
        'a,b,c\n1,"x,2\n3,"y, z",4\n5,u,6\n',
        ["a", "b", "c"],
        [["1", '"x', "2"], ["3", "y, z", "4"], ["5", "u", "6"]],
    ),
    "stray quote before a quoted cell": (
        'a,b,c\n1,""x, y",2\n3,z,4\n',
        ["a", "b", "c"],
        [["1", '"x, y', "2"], ["3", "z", "4"]],
    ),
    "quotes that are not doubled": (
        'a,b\n"said "hi", left",1\n"x",2\n',
        ["a", "b"],
        [['said "hi", left', "1"], ["x", "2"]],
    ),
    "blanks around quotes": ('a, b\n1, "x, y"\n2, "z"\n', ["a", "b"], [["1", "x, y"], ["2", "z"]]),
    # Line ends
    "crlf": ("a,b\r\n1,x\r\n2,y\r\n3,z\r\n", ["a", "b"], PLAIN),
    "cr": ("a,b\r1,x\r2,y\r3,z\r", ["a", "b"], PLAIN),
    "mixed": ("a,b\r\n1,x\n2,y\r3,z", ["a", "b"], PLAIN),
    "crcrlf": ("a,b\r\r\n1,x\r\r\n2,y\r\r\n3,z\r\r\n", ["a", "b"], PLAIN),
    # Headers
    "no header": ("1,x\n2,y\n3,z\n", ["column_1", "column_2"], PLAIN),
    "no header, numbers only": (
        "5.1,3.5\n4.9,3.0\n",
        ["column_1", "column_2"],
        [["5.1", "3.5"], ["4.9", "3.0"]],
    ),
    "no header, words that come again": (
        "red,up\nblue,down\nred,down\nblue,up\n",
        ["column_1", "column_2"],
        [["red", "up"], ["blue", "down"], ["red", "down"], ["blue", "up"]],
    ),
    "header of words": (
        "colour,way\nblue,down\nred,down\nblue,up\n",
        ["colour", "way"],
        [["blue", "down"], ["red", "down"], ["blue", "up"]],
    ),
    "header of counts": ("0,1,2\n5,6,7\n", ["0", "1", "2"], [["5", "6", "7"]]),
    "header of years": (
        "country,1990,1991,1992\nAT,5,6,7\nDE,8,9,10\n",
        ["country", "1990", "1991", "1992"],
        [["AT", "5", "6", "7"], ["DE", "8", "9", "10"]],
    ),
    "header of two rows": (
        ",speed,,time,\nid,min,max,min,max\n1,2,3,4,5\n6,7,8,9,10\n",
        ["id", "speed min", "speed max", "time min", "time max"],
        [["1", "2", "3", "4", "5"], ["6", "7", "8", "9", "10"]],
    ),
    "units under the header": (
        "t,v\n(s),(m/s)\n1,2\n3,4\n5,6\n",
        ["t", "v"],
        [["1", "2"], ["3", "4"], ["5", "6"]],
    ),
    "title and blank line": ("My table\n\na,b\n1,x\n2,y\n3,z\n", ["a", "b"], PLAIN),
    "titles of one cell": ("Title,,\n,,\na,b,c\n1,2,3\n", ["a", "b", "c"], [["1", "2", "3"]]),
    "comments": ("# made by me\n# today\na,b\n1,x\n2,y\n3,z\n", ["a", "b"], PLAIN),
    "header in a comment": ("# a, b\n1, 5\n2, 6\n", ["a", "b"], [["1", " 5"], ["2", " 6"]]),
    "comment among the rows": ("a,b\n1,x\n# a note\n2,y\n3,z\n", ["a", "b"], PLAIN),
    "byte-order mark": ("\ufeffa,b\n1,x\n2,y\n3,z\n", ["a", "b"], PLAIN),
    "attributes of ARFF": (
        "@relation r\n@attribute a numeric\n@attribute 'b c' {x,y}\n@data\n1,x\n2,y\n3,x\n",
        ["a", "b c"],
        [["1", "x"], ["2", "y"], ["3", "x"]],
    ),
    # Names
    "nameless index": (",a\n1,5\n2,6\n", ["column_1", "a"], [["1", "5"], ["2", "6"]]),
    "index without its comma": (
        "a b\nr1 1 2\nr2 3 4\n",
        ["column_1", "a", "b"],
        [["r1", "1", "2"], ["r2", "3", "4"]],
    ),
    "names twice": (
        "a,a,a_2,a\n1,2,3,4\n",
        ["a", "a_3", "a_2", "a_4"],
        [["1", "2", "3", "4"]],
    ),
    "blanks around names": ("a , b\n1,2\n", ["a", "b"], [["1", "2"]]),
    # Rows
    "trailing delimiters": ("a,b,\n1,x,\n2,y,\n3,z,\n", ["a", "b"], PLAIN),
    "trailing delimiters but in the header": ("a,b\n1,x,\n2,y,\n3,z,\n", ["a", "b"], PLAIN),
    "short row": ("a,b\n1,x\n2\n3,z\n", ["a", "b"], [["1", "x"], ["2", None], ["3", "z"]]),
    "long row": ("a,b\n1,x\n2,y,more\n3,z\n", ["a", "b"], PLAIN),
    "blanks in cells": ("a,b\n 1 , x\n", ["a", "b"], [[" 1 ", " x"]]),
    "blank lines": ("a,b\n\n1,x\n\n2,y\n\n3,z\n", ["a", "b"], PLAIN),
    "rows without any value": ("a,b\n1,x\n,\n2,y\n3,z\n,\n,\n", ["a", "b"], PLAIN),
    "footer after a blank line": (
        "a,b,c\n1,2,3\n4,5,6\n\nSource: the office\n",
        ["a", "b", "c"],
        [["1", "2", "3"], ["4", "5", "6"]],
    ),
    "total after a blank line": (
        "a,b\nx,1\ny,2\n\nTotal,3\n",
        ["a", "b"],
        [["x", "1"], ["y", "2"]],
    ),
    "two tables": (
        "a,b\n1,2\n3,4\n5,6\n\nname,size,c\nx,1,2\n",
        ["a", "b"],
        [["1", "2"], ["3", "4"], ["5", "6"]],
    ),
    "two tables without a blank line": (
        "a,b\n1,2\n3,4\n5,6\n7,8\nx,y,z\n1,2,3\n4,5,6\n",
        ["a", "b"],
        [["1", "2"], ["3", "4"], ["5", "6"], ["7", "8"]],
    ),
    "header again": ("a,b\n1,x\n2,y\na,b\n3,z\n", ["a", "b"], PLAIN),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_read_as_it_is_meant(fault):
    content, names, rows = FAULTS[fault]
    table = read(content)
    assert list(table.cells) == names
    assert rows_of(table) == rows


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.data", "a.dat", "a.psv", "a.unknown", None])
def test_the_content_tells_the_dialect_whatever_the_name(name):
    assert rows_of(read("a|b\n1|x\n2|y\n3|z\n", name)) == PLAIN


WORDS = "name,city\nJosé,Köln\nZoë,Málaga\nJürgen,Düsseldorf\nÉmile,Orléans\n"
RUSSIAN = "имя,город\n" + "Иван,Москва\nОльга,Санкт-Петербург\nПётр,Нижний Новгород\n" * 5


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (WORDS, "utf-8"),
        (WORDS, "utf-8-sig"),
        (WORDS, "utf-16"),
        (WORDS, "utf-16-le"),
        (WORDS, "utf-16-be"),
        (WORDS, "utf-32"),
        (WORDS, "cp1252"),
        (WORDS, "latin-1"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        ("name,city\n" + "太郎,東京都\n花子,大阪府の町\n" * 20, "shift_jis"),
        ("price,note\n5 €,“good”\n6 €,‘bad’\n", "cp1252"),
    ],
)
def test_an_encoding_is_detected(text, encoding):
    table = read(text.encode(encoding))
    expected = [line.split(",") for line in text.splitlines()]
    assert [list(table.cells), *rows_of(table)] == expected
    given = read(text.encode(encoding), encoding=encoding)
    assert rows_of(given) == expected[1:]


def test_bad_bytes_in_utf8_are_read_and_counted():
    table = read("a,b\nü,éà\n".encode() + b"\x93x\x94,y\n")
    assert rows_of(table) == [["ü", "éà"], ["“x”", "y"]]
    assert table.reading["encoding"] == "utf-8"
    assert table.reading["replaced_bytes"] == 2


def test_what_was_detected_is_told():
    table = read("A title of it\r\n\r\nt;v;n\r\n(s);(m);()\r\n1;2;'x;y'\r\n3;4\r\n5;6;'z';8\r\n")
    told = {key: table.reading[key] for key in ("delimiter", "quote", "escape", "line_end")}
    assert told == {"delimiter": ";", "quote": "'", "escape": None, "line_end": "\\r\\n"}
    assert table.reading["encoding"] == "ascii"
    assert (table.reading["header"], table.reading["header_rows"]) == (3, 2)
    assert table.reading["skipped_lines"] == 2
    assert table.reading["units"] == {"t": "(s)", "v": "(m)", "n": "()"}
    assert (table.reading["padded_rows"], table.reading["cut_rows"]) == (1, 1)
    warned = {warning.message: warning.rows for warning in table.warnings}
    assert [rows for text, rows in warned.items() if "fewer cells" in text] == [1]
    assert [rows for text, rows in warned.items() if "cut off" in text] == [1]
    assert {warning.code for warning in table.warnings} == {WarningCode.ROWS_SKIPPED}


def test_a_header_that_only_looks_like_one_is_warned_of():
    codes = {warning.code for warning in read("name,town\nAda,Graz\nMax,Linz\n").warnings}
    assert codes == {WarningCode.HEADER_GUESSED}
    assert not read("name,age\nAda,5\nMax,6\n").warnings


def test_the_larger_of_two_tables_is_told():
    table = read("a,b\n1,2\n3,4\n\nx,y,z\n1,2,3\n4,5,6\n7,8,9\n")
    assert list(table.cells) == ["x", "y", "z"]
    assert table.reading["tables"] == 2
    assert any("2 tables" in warning.message for warning in table.warnings)


@pytest.mark.parametrize(
    ("options", "content", "names", "rows"),
    [
        ({"header": "none"}, "a,b\n1,2\n", ["column_1", "column_2"], [["a", "b"], ["1", "2"]]),
        ({"header": 2}, "x,y\na,b\n1,2\n", ["a", "b"], [["1", "2"]]),
        ({"header": 1}, "1,2\n3,4\n", ["1", "2"], [["3", "4"]]),
        ({"delimiter": ";"}, "a,b;c\n1,2;3\n4,5;6\n", ["a,b", "c"], [["1,2", "3"], ["4,5", "6"]]),
        ({"delimiter": "\t"}, "a b\tc\n1 2\t3\n", ["a b", "c"], [["1 2", "3"]]),
        ({"skip_rows": 2}, "junk,1\nmore,2\na,b\n1,2\n", ["a", "b"], [["1", "2"]]),
        ({"encoding": "cp1251"}, "a,b\nж,1\n".encode("cp1251"), ["a", "b"], [["ж", "1"]]),
    ],
)
def test_an_option_overrides_what_would_be_detected(options, content, names, rows):
    table = read(content, **options)
    assert list(table.cells) == names
    assert rows_of(table) == rows


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"encoding": "utf-99"}, "options.encoding"),
        ({"encoding": "ascii"}, "options.encoding"),
        ({"delimiter": '"'}, "options.delimiter"),
        ({"delimiter": ""}, "options.delimiter"),
        ({"header": 9}, "options.header"),
        ({"skip_rows": 9}, "options.skip_rows"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_at_its_name(options, path):
    with pytest.raises(Invalid, match=rf"^{path}: "):
        read("a,b\nü,2\n", **options)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty"]),
        ("\n \n", ["empty"]),
        ("a,b\n", ["no table", "header", "'a,b'"]),
        (",,\n,,\n", ["no row"]),
        (b"\x00\x01\x02\x03" * 40, ["not text"]),
    ],
)
def test_a_file_without_a_table_is_refused_with_what_was_found(content, words):
    with pytest.raises(Invalid) as refused:
        read(content)
    message = refused.value.errors["file"][0]
    assert all(word in message for word in words), message


def test_rows_are_the_same_however_far_they_lie_from_the_start():
    """Blocks that Arrow reads and blocks with faults, in one file of some megabytes."""
    lines, expected = ["id,note,size"], list[list[str | None]]()
    for number in range(200_000):
        if number % 50_000 == 7:
            lines.append(f'{number},"stray,{number}')
            expected.append([str(number), '"stray', str(number)])
        elif number % 50_000 == 8:
            lines.append(f"{number},short")
            expected.append([str(number), "short", None])
        elif number % 1000 == 0:
            lines.append(f'{number},"two\nlines, ""quoted""",{number}')
            expected.append([str(number), 'two\nlines, "quoted"', str(number)])
        else:
            lines.append(f"{number},some text,{number}")
            expected.append([str(number), "some text", str(number)])
    table = read("\n".join(lines) + "\n")
    assert rows_of(table) == expected
    assert table.reading["padded_rows"] == 4
    assert table.reading["repaired_rows"] == 4


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a,b\n,\n1,x\n,\n2,y\n,\n", [["", ""], ["1", "x"], ["", ""], ["2", "y"], ["", ""]]),
        (b"a,b\n1,x\n\nTotal,3\n", [["1", "x"], ["Total", "3"]]),
        (b"a,b\n1,x\na,b\n# 2,y\n", [["1", "x"], ["a", "b"], ["# 2", "y"]]),
        (b'a\n""\nx\n', [[""], ["x"]]),
        (b"a,b\na,b\n", [["a", "b"]]),
    ],
)
def test_every_row_is_kept_where_each_needs_an_answer(content: bytes, rows: list[list[str]]):
    table = read_table(content, options=ReadOptions(every_row=True))
    columns = [column.to_pylist() for column in table.cells.values()]
    assert [list(row) for row in zip(*columns, strict=True)] == rows


@pytest.mark.parametrize("name", ["x", "na", "nd", "unknown", "missing"])
def test_a_column_may_be_called_like_a_missing_cell(name: str):
    lines = "".join(f"{number * 7},{'Yes' if number % 2 else 'No'}\n" for number in range(40))
    table = read(f"{name},y\n{lines}")
    assert list(table.cells) == [name, "y"]
    assert len(table.cells["y"]) == 40


@pytest.mark.parametrize(
    ("encoding", "header", "words"),
    [
        ("latin-1", "größe,stadt", ["Köln", "Graz", "Zürich"]),
        ("cp1252", "año,niño", ["peña", "sí", "señor"]),
        ("latin-1", "prénom,âge", ["Zoé", "Chloé", "Jérôme"]),
    ],
)
def test_western_letters_of_one_byte_are_read(encoding: str, header: str, words: list[str]):
    lines = "".join(f"{number},{words[number % 3]}\n" for number in range(50))
    table = read(f"{header}\n{lines}".encode(encoding))
    assert list(table.cells) == header.split(",")
    assert set(table.cells[header.split(",")[1]].to_pylist()) == set(words)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Москва и Санкт-Петербург большие города нашей страны"),
        ("cp1250", "příliš žluťoučký kůň úpěl ďábelské ódy v našem městě a byl šťastný"),
    ],
)
def test_other_encodings_are_guessed_where_there_is_enough_text(encoding: str, text: str):
    lines = "".join(f"{number},{text}\n" for number in range(50))
    table = read(f"a,b\n{lines}".encode(encoding))
    assert set(table.cells["b"].to_pylist()) == {text}


def test_names_in_both_normal_forms_are_equal_names():
    assert list(read("größe,gro\u0308ße,b\n1,2,3\n4,5,6\n").cells) == ["größe", "größe_2", "b"]


def test_a_pdf_is_no_table():
    with pytest.raises(Invalid, match="PDF"):
        read(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type /Catalog>>\n")
