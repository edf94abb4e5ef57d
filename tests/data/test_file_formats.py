"""The table in a file of every format, compressed or not, and the files that are refused."""

import base64
import bz2
import contextlib
import gzip
import io
import lzma
import zipfile
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

from models.data.formats.limits import TableLimits
from models.data.formats.reading import read_table
from models.data.table import ReadOptions
from models.errors import Invalid, TooLarge
from tests.spreadsheets import MAIN, archive, ods, xlsx

CSV = b"name,size\nGraz,1\nWien,2\n"
SMALL = TableLimits(inflated_bytes=1_000_000, rows=1000, columns=100, cell_length=1000)
XLS = zlib.decompress(
    base64.b85decode(
        "c-rk)O=uHA6#izjX?{qPO-+SXD4}4rwLORzFYT&CdrGNZ)GFwv2^iX@5_@ScR%?!eAP5#Og?jK(_2LgI=t1xxRP-"
        "PSLZU}cLIn?L);BM^HLVpI&_Z>-FmK+xnQ!N1-^`oceX|%X&fRY<VGa7=LB$TBp~fbt1l)!J>bGsFy0xE*t+1sK@"
        "KYcgym-?1+9zWu<6VM=d-@BKz$YrFaUKKXxlDW$afp4eg!G}8q`)n*gweuYHL)CKxsByr9{H5z0k&La*-K-KVhD@"
        "oK-Yd}6`#=Bxi1WP-G|Kiz?Qve#w)psFJ2SXv0fa^XRXmK*3qViFb@i7e<qj7%XS2}5d=;WdXmYWM52fo1$!Rf>^"
        "QLG?&{}pW#3%80NKB<w)=i#_frtp+OKOmFb(@GZ;}E+Fm&0YBVkQgWpvV-02eantg#GL7qU|s50JJdX}b@V^V#8Z"
        "w0=@Sncq1d7_0I@Bkz+C$uuIYM|rmx<WTv}*SE>kpm~NZ(|iV0Pl}z=G1#~y8AJ|qk7q@8F=G$Q%Y4-xthcg^k;_"
        "zf3^qH;kr^Iyg?l?_o_&mW=B^rjH|d2hM<2BnKAWASFZ7qDVhiuhIkeNsl_tLY&7fO!i`knJk4?80PFDHIvgMZy<"
        "JSzwciTA*BUqMuiV$U4ZOOYMR$7{KuOwTn!xqez_v0DOFPMEwlNs*DOO2S4r>(=&n5R3uYD|Kh8E2W-r#0b$97Ng"
        "hCxTE=P*6}%P*70#zajV;wfaP^J1+|IncwGp*IA}gQJ+cvSscSS{U+$8@-T8#=P_B=`q>VzaIYmc$Z@|HN*t%z^B"
        "6&j{TQix{nERSsQo`1CK`Wk3)MS+r5->3^87ylf-}~H"
    )
)


def read(content, name=None, limits=SMALL, **options):
    return read_table(content, name, None, ReadOptions(**options), limits)


def cells_of(table):
    return {
        name: [None if cell is None else str(cell) for cell in column.to_pylist()]
        for name, column in table.cells.items()
    }


EXPECTED = {"name": ["Graz", "Wien"], "size": ["1", "2"]}
ROWS = [["name", "size"], ["Graz", 1], ["Wien", 2]]
FRAME = pa.table({"name": ["Graz", "Wien"], "size": [1, 2]})


def stored(write):
    sink = io.BytesIO()
    write(sink)
    return sink.getvalue()


def ipc(table, kind, **options):
    sink = io.BytesIO()
    with kind(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


FORMATS = {
    "csv": CSV,
    "csv.gz": gzip.compress(CSV, mtime=0),
    "csv.bz2": bz2.compress(CSV),
    "csv.xz": lzma.compress(CSV),
    "csv.zip": archive(**{"a.csv": CSV}),
    "zip with a note": archive(**{"d/a.csv": CSV, "README.txt": b"hello", "__MACOSX/a": b"x"}),
    "zip with gzip": archive(**{"a.csv.gz": gzip.compress(CSV, mtime=0)}),
    "two gzip streams": gzip.compress(CSV[:15], mtime=0) + gzip.compress(CSV[15:]),
    "xlsx": xlsx(Data=ROWS),
    "xlsx in gzip": gzip.compress(xlsx(Data=ROWS), mtime=0),
    "ods": ods(ROWS),
    "parquet": stored(lambda sink: pa.parquet.write_table(FRAME, sink)),
    "feather": stored(lambda sink: pa.feather.write_feather(FRAME, sink)),
    "feather, uncompressed": stored(
        lambda sink: pa.feather.write_feather(FRAME, sink, compression="uncompressed")
    ),
    "arrow file": ipc(FRAME, pa.ipc.new_file, compression="zstd"),
    "arrow stream": ipc(FRAME, pa.ipc.new_stream, compression="lz4"),
    "records": b'[{"name": "Graz", "size": 1}, {"name": "Wien", "size": 2}]',
    "lines": b'{"name": "Graz", "size": 1}\n{"name": "Wien", "size": 2}\n',
    "columns": b'{"name": ["Graz", "Wien"], "size": [1, 2]}',
    "columns by index": b'{"name": {"0": "Graz", "1": "Wien"}, "size": {"0": 1, "1": 2}}',
    "split": b'{"columns": ["name", "size"], "data": [["Graz", 1], ["Wien", 2]]}',
    "lists": b'[["name", "size"], ["Graz", 1], ["Wien", 2]]',
    "data": b'{"data": [{"name": "Graz", "size": 1}, {"name": "Wien", "size": 2}]}',
    "utf-16 records": '[{"name": "Graz", "size": 1}, {"name": "Wien", "size": 2}]'.encode("utf-16"),
    "npz": stored(
        lambda sink: np.savez(sink, name=np.array(["Graz", "Wien"]), size=np.array([1, 2]))
    ),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_content_tells_the_format_without_a_name(kind):
    name = "a.json" if kind == "utf-16 records" else None
    assert cells_of(read(FORMATS[kind], name)) == EXPECTED


def test_an_old_spreadsheet():
    table = read(XLS, "a.xls")
    assert cells_of(table) == {
        "name": ["Zürich", "b"],
        "size": ["1.5", "2"],
        "day": ["2024-05-01", "2024-05-02"],
    }
    assert (table.reading["format"], table.reading["sheet"]) == ("xls", "Data")


def test_cells_of_a_spreadsheet_are_text_as_it_shows_them():
    rows = [["Title"], [], ["n", "flag", "text"], [1.5, True, " a "], [2, False, "007"]]
    table = read(xlsx(S=rows))
    assert cells_of(table) == {
        "n": ["1.5", "2"],
        "flag": ["true", "false"],
        "text": [" a ", "007"],
    }


def test_the_largest_sheet_is_read_unless_one_is_named():
    content = xlsx(Notes=[["hello"]], Data=ROWS, More=[["a", "b"], [1, 2]])
    table = read(content)
    assert cells_of(table) == EXPECTED
    assert table.reading["sheet"] == "Data"
    assert table.reading["sheets"] == ["Notes", "Data", "More"]
    assert any("3 sheets" in warning.message for warning in table.warnings)
    assert cells_of(read(content, sheet="More")) == {"a": ["1"], "b": ["2"]}
    assert cells_of(read(content, sheet=3)) == {"a": ["1"], "b": ["2"]}
    for sheet in ("Other", 4, 0):
        with pytest.raises(Invalid, match=r"^options\.sheet: .*'Notes', 'Data', 'More'"):
            read(content, sheet=sheet)


def test_what_was_unpacked_is_told():
    reading = read(archive(**{"d/a.csv.gz": gzip.compress(CSV, mtime=0)})).reading
    assert (reading["compression"], reading["member"]) == (["zip", "gzip"], "d/a.csv.gz")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (archive(**{"a.csv": CSV, "b.csv": CSV}), ["2 files", "'a.csv'", "'b.csv'"]),
        (archive(**{"d/": b""}), ["no file"]),
        (gzip.compress(CSV, mtime=0)[:-9], ["gzip"]),
        (bz2.compress(CSV)[:-9], ["bz2"]),
        (b"\x1f\x8bnothing", ["gzip"]),
        (gzip.compress(b"", mtime=0), ["empty"]),
        (b"PK\x03\x04 torn", []),
        (b"PAR1 torn", ["Parquet"]),
        (b"ARROW1\0\0 torn", ["Arrow"]),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 torn", ["spreadsheet"]),
        (xlsx(S=[]), ["no table"]),
        (xlsx(S=[["a", "b"]]), ["header"]),
        (b'{"a": [1, 2], "b": [1]}', ["length"]),
        (b'[["a", "b"], [1]]', ["Row 1"]),
    ],
)
def test_a_file_that_holds_no_table_is_refused(content, words):
    with pytest.raises(Invalid, match=r"^file: ") as refused:
        read(content)
    assert all(word in str(refused.value) for word in words), str(refused.value)


def bomb(size):
    return b"a,b\n" + b"1,2\n" * (size // 4)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(bomb(5_000_000), mtime=0),
        bz2.compress(bomb(5_000_000)),
        lzma.compress(bomb(5_000_000)),
        archive(**{"a.csv": bomb(5_000_000)}),
        ipc(pa.table({"a": np.zeros(500_000)}), pa.ipc.new_file, compression="zstd"),
        ipc(pa.table({"a": np.zeros(500_000)}), pa.ipc.new_stream, compression="lz4"),
        stored(lambda sink: pa.feather.write_feather(pa.table({"a": np.zeros(500_000)}), sink)),
        ipc(
            pa.table({"a": pa.array(["x" * 2_000_000]).dictionary_encode()}),
            pa.ipc.new_file,
            compression="zstd",
        ),
    ],
)
def test_a_bomb_is_refused_before_it_is_unpacked(content):
    with pytest.raises(TooLarge, match="LUTHIER_MAX_INFLATED_BYTES"):
        read(content)


def test_a_sheet_with_two_cells_in_far_corners_is_refused():
    cells = (
        '<row r="1"><c r="A1"><v>1</v></c></row>'
        '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    )
    sheet = f"<worksheet xmlns='{MAIN}'><sheetData>{cells}</sheetData></worksheet>"
    plain = xlsx(S=ROWS)
    with zipfile.ZipFile(io.BytesIO(plain)) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    members["xl/worksheets/sheet1.xml"] = sheet.encode()
    with pytest.raises(Invalid, match="LUTHIER_MAX_ROWS"):
        read(archive(**members))


def test_repeated_rows_of_a_sheet_are_counted():
    content = ods(ROWS)
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    members["content.xml"] = members["content.xml"].replace(
        b"<table:table-row>", b'<table:table-row table:number-rows-repeated="100000000">', 2
    )
    with pytest.raises((Invalid, TooLarge), match="LUTHIER_MAX"):
        read(archive(**members))


def test_limits_of_text_are_checked_while_it_is_read():
    with pytest.raises(Invalid, match="LUTHIER_MAX_ROWS"):
        read(b"a,b\n" + b"1,2\n" * 1001)
    with pytest.raises(Invalid, match="LUTHIER_MAX_COLUMNS"):
        read(b",".join([b"1"] * 101) + b"\n" + b",".join([b"2"] * 101))
    with pytest.raises(Invalid, match="LUTHIER_MAX_CELL_LENGTH"):
        read(b"a,b\n1," + b"x" * 1001 + b"\n2,y\n")


@pytest.mark.parametrize(
    "content",
    [
        b'"' * 300_000,
        b'a,b\n"' + b'""' * 150_000,
        b'a,"b\n' * 60_000,
        b"," * 300_000,
        (b"," * 50 + b"\n") * 6000,
        b"a\n" + b"\n" * 300_000,
        b"\\" * 300_000,
        b"a,b\n" + b'1,"x" "y" "z\n' * 20_000,
        b" " * 299_999 + b"x",
        b"a b\n" + b"(" * 300_000,
        b"x-" * 150_000,
        b"1" * 300_000,
    ],
)
def test_hostile_text_costs_time_in_proportion_to_its_size(content):
    """Each is read or refused; a cost of the square of the size would take hours."""
    wide = TableLimits(inflated_bytes=10**8, rows=10**6, columns=10**4, cell_length=10**5)
    with contextlib.suppress(Invalid, TooLarge):
        read(content, limits=wide)


def test_names_and_an_index_of_pandas_in_parquet():
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "a", ""], index=["x"])
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["a", "a", ""])
    content = stored(lambda sink: pa.parquet.write_table(table, sink))
    assert cells_of(read(content)) == {"a": ["1"], "a_2": ["2"], "column_3": ["3"]}
    indexed = stored(lambda sink: frame.iloc[:, :1].to_parquet(sink))
    assert cells_of(read(indexed)) == {"a": ["1"]}


@pytest.mark.parametrize(
    ("name", "content", "option"),
    [
        ("a.csv", b"a,b\n1,2\n3,4\n", {"sheet": "x"}),
        ("a.json", b'[{"a": 1}]', {"delimiter": ";"}),
        ("a.parquet", None, {"encoding": "latin-1"}),
        ("a.parquet", None, {"skip_rows": 1}),
        ("a.xlsx", None, {"delimiter": ";"}),
    ],
)
def test_an_option_that_a_format_has_not_is_refused(name, content, option):
    if content is None:
        content = xlsx(Data=ROWS) if name == "a.xlsx" else parquet_bytes()
    with pytest.raises(Invalid) as caught:
        read_table(content, name, None, ReadOptions(**option))
    assert list(caught.value.errors) == [f"options.{name}" for name in option]


def parquet_bytes():
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"a": [1, 2]}), sink)
    return sink.getvalue()


def test_a_header_that_the_user_names_was_not_guessed():
    content = b"1,2\n3,4\n5,6\n"
    assert [w.code for w in read_table(content).warnings] == ["header_guessed"]
    assert read_table(content, options=ReadOptions(header="none")).warnings == ()


@pytest.mark.parametrize("write", [lambda rows: xlsx(S=rows), ods], ids=["xlsx", "ods"])
def test_every_row_of_a_workbook_is_kept_where_each_gets_an_answer(write):
    rows = [["name", "size"], ["Graz", "1"], ["", ""], ["# 5 Wien", "2"], ["", ""], ["// town", ""]]
    kept = read(write(rows), every_row=True)
    assert cells_of(kept)["name"] == ["Graz", "", "# 5 Wien", "", "// town"]
    assert cells_of(read(write(rows)))["name"] == ["Graz"]
    skipped = read(write([["Towns", ""], ["", ""], *rows]), every_row=True, header=2)
    assert cells_of(skipped) == cells_of(kept)
    texts = read(write([["town", "note"], ["town", "x"], ["Graz", "y"]]), every_row=True)
    assert list(texts.cells) == ["town", "note"]


def test_a_damaged_workbook_is_refused():
    refused = 0
    for content in (xlsx(S=ROWS), ods(ROWS)):
        for place in range(30, len(content), 97):
            damaged = bytearray(content)
            damaged[place] ^= 0x10
            with contextlib.suppress(Invalid, TooLarge):
                read(bytes(damaged))
                continue
            refused += 1
    assert refused
