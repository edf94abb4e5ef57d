"""Write a version's README.md: its files, its columns, and programs that run its files."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

import models
from models.data.columns import ColumnType
from models.data.encoding.features import input_name
from models.registry.documents import Document
from models.registry.onnx.interface import explain_input, named
from models.registry.readme.triton import triton_config


def write_readme(
    graph: bytes,
    signature: Document,
    model: str,
    version: int | None,
    networks: int,
    encodings: int,
) -> str:
    """Return the page, in Markdown.

    `graph` is the content of model.onnx, `networks` how many model.keras averages, 0 without that
    file, and `encodings` how many inputs it has.
    """
    kinds = {column["type"] for column in signature["columns"]}
    threshold = signature.get("threshold")
    return _template().render(
        release=models.__version__,
        model=model,
        title=named(model, version),
        signature=signature,
        columns=_table(signature["columns"]),
        classes=signature["classes"],
        positive=None if threshold is None else _positive(signature),
        has_datetime=ColumnType.DATETIME in kinds,
        has_text=not kinds.isdisjoint((ColumnType.CATEGORY, ColumnType.TEXT)),
        is_image=ColumnType.IMAGE in kinds,
        networks=networks,
        encodings=encodings,
        triton=triton_config(onnx.load_model_from_string(graph), model),
    )


def _positive(signature: Document) -> int:
    number: int = signature["classes"].index(signature["positive_class"])
    return number


def _table(columns: Sequence[Document]) -> list[dict[str, Any]]:
    return [
        {
            "name": _cell(column["name"]),
            "input": _cell(input_name(column["name"])),
            "type": column["type"],
            "note": _cell(explain_input(column)),
        }
        for column in columns
    ]


def _cell(text: str) -> str:
    """Return a text that neither ends a cell of a table nor begins a line."""
    return " ".join(text.replace("|", r"\|").split())


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template("template.md")
