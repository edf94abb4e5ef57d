import json

from benchmarks.reading import luthier, pandas, read_clean


def folder_of(tmp_path, content, clean, header_lines=1):
    for name in ("csv", "clean", "parameters"):
        (tmp_path / name).mkdir()
    (tmp_path / "csv" / "a.csv").write_text(content)
    (tmp_path / "clean" / "a.csv").write_text(clean)
    parameters = {"header_lines": str(header_lines), "delimiter": ";"}
    (tmp_path / "parameters" / "a.csv_parameters.json").write_text(json.dumps(parameters))
    return tmp_path


def test_readers_are_judged_by_shape_and_by_cells(tmp_path):
    folder = folder_of(tmp_path, "a;b;\n1; x;\n2;y;\n", "a,b,\n1,x,\n2,y,\n")
    clean = read_clean(folder, "a.csv")
    assert (len(clean.rows), clean.columns, clean.nameless) == (2, 3, 1)
    assert clean.judge(*luthier(folder / "csv" / "a.csv")) == "cells"
    assert clean.judge(*pandas(folder / "csv" / "a.csv")) == "wrong"
    assert clean.judge([["1", "x"], ["2", "z"]], 2) == "shape"
    assert clean.judge([["1", "x"]], 2) == "wrong"


def test_a_clean_file_may_have_no_header(tmp_path):
    folder = folder_of(tmp_path, "1;x\n2;y\n", "1,x\n2,y\n", header_lines=0)
    clean = read_clean(folder, "a.csv")
    assert clean.judge(*luthier(folder / "csv" / "a.csv")) == "cells"
