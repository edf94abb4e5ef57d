"""Reference pages from the code: the API from openapi.yaml, commands from click, the client."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from luthier.cli import main

ROOT = Path(__file__).parents[2]
FOLDER = "reference/api"
_CLIENT = """# Python client

```python
from luthier.client import Client

client = Client("http://127.0.0.1:8000")
```

::: luthier.client
    options:
      show_root_heading: false
      show_root_toc_entry: false
"""


def reference_pages() -> dict[str, str]:
    """Return Markdown by its path on the site."""
    document = yaml.safe_load((ROOT / "openapi.yaml").read_text(encoding="utf-8"))
    pages = {
        "reference/cli.md": "# Command line\n\n" + "\n".join(_command(main, "luthier", 2)),
        "reference/client.md": _CLIENT,
        f"{FOLDER}/index.md": _overview(document),
        f"{FOLDER}/schemas.md": "# Schemas\n\n" + "\n".join(_schemas(document)),
    }
    for tag in document["tags"]:
        text = "\n".join(_operations(document, tag["name"]))
        pages[f"{FOLDER}/{tag['name']}.md"] = f"# {_title(tag)}\n\n{text}"
    return pages


def api_pages() -> list[str]:
    """Return the pages of the API in the order of the document's tags."""
    document = yaml.safe_load((ROOT / "openapi.yaml").read_text(encoding="utf-8"))
    names = ["index", *(tag["name"] for tag in document["tags"]), "schemas"]
    return [f"{FOLDER}/{name}.md" for name in names]


def _each(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, method and operation; an operation has the parameters of its path too."""
    for path, item in document["paths"].items():
        shared = item.get("parameters", [])
        for method, operation in item.items():
            if method != "parameters":
                own = operation.get("parameters", [])
                yield path, method, operation | {"parameters": [*shared, *own]}


def _overview(document: Mapping[str, Any]) -> str:
    lines = [
        "# HTTP API",
        "",
        f"Version {document['info']['version']} of the contract, from `openapi.yaml`. A running"
        " service shows it at `/docs` and sends it at `/openapi.yaml`. Errors are problems of RFC"
        " 9457, with messages by field in `errors`. The scope is that of an"
        " [API key](../../keys.md).",
    ]
    for tag in document["tags"]:
        lines += ["", f"## {_title(tag)}", ""]
        lines += ["| call | does | scope |", "| --- | --- | --- |"]
        lines += [
            f"| {_badge(method)} [`{path}`]({tag['name']}.md#{operation['operationId'].lower()})"
            f" | {_cell(operation['summary'])} | {operation.get('x-scope', '')} |"
            for path, method, operation in _each(document)
            if tag["name"] in operation["tags"]
        ]
    return "\n".join(lines)


def _operations(document: Mapping[str, Any], tag: str) -> Iterator[str]:
    for path, method, operation in _each(document):
        if tag not in operation["tags"]:
            continue
        yield f"\n## {_badge(method)} `{path}` {{ #{operation['operationId'].lower()} }}\n"
        yield operation["summary"] + "\n"
        if operation.get("description"):
            yield operation["description"] + "\n"
        if operation.get("x-scope"):
            yield f"Scope: `{operation['x-scope']}`. Operation: `{operation['operationId']}`.\n"
        if operation["parameters"]:
            yield "| parameter | in | type | meaning |\n| --- | --- | --- | --- |"
            for each in (_resolved(document, each) for each in operation["parameters"]):
                name = f"`{each['name']}`" + (", required" if each.get("required") else "")
                yield (
                    f"| {name} | {each['in']} | {_type(each['schema'])}"
                    f" | {_cell(each.get('description', ''))} |"
                )
            yield ""
        content = operation.get("requestBody", {}).get("content", {})
        if content:
            yield "| body | schema |\n| --- | --- |"
            for media, body in content.items():
                yield f"| `{media}` | {_type(body.get('schema', {}))} |"
            yield ""
        yield "| status | answer | schema |\n| --- | --- | --- |"
        for status, response in sorted(operation["responses"].items()):
            answer = _resolved(document, response)
            shapes = {_type(body.get("schema", {})) for body in answer.get("content", {}).values()}
            shown = ", ".join(sorted(shapes))
            yield f"| {status} | {_cell(answer.get('description', ''))} | {shown} |"
        yield ""


def _schemas(document: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in document["components"]["schemas"].items():
        yield f"\n## {name} {{ #{name.lower()} }}\n"
        if schema.get("description"):
            yield schema["description"] + "\n"
        if not schema.get("properties"):
            yield f"{_type(schema)}\n"
            continue
        required = schema.get("required", [])
        yield "| field | type | default | meaning |\n| --- | --- | --- | --- |"
        for field, value in schema["properties"].items():
            default = f"`{json.dumps(value['default'])}`" if "default" in value else ""
            yield (
                f"| `{field}`{', required' if field in required else ''} | {_type(value)}"
                f" | {default} | {_cell(value.get('description', ''))} |"
            )
        yield ""


def _type(schema: Mapping[str, Any]) -> str:
    """Return a type in one cell of a table: name, values, limits, or links to schemas."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](schemas.md#{name.lower()})"
    for key in ("oneOf", "anyOf", "allOf"):
        if key in schema:
            parts = [_type(part) for part in schema[key] if part.get("enum") != [None]]
            return " or ".join(dict.fromkeys(parts))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" if schema.get("items") else "list"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    kind = schema.get("format") or schema.get("type") or "any"
    limits = [
        f"{sign} {schema[key]:g}"
        for key, sign in (("minimum", "≥"), ("maximum", "≤"))
        if isinstance(schema.get(key), int | float)
    ]
    return " ".join([kind, *limits])


def _command(command: click.Command, path: str, level: int) -> Iterator[str]:
    """Yield the section of a command, then those of its subcommands."""
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"{'#' * level} {path}\n\n```text\n{path} {usage}\n```\n\n{command.help or ''}\n"
    rows = [
        record for each in command.get_params(context) if (record := each.get_help_record(context))
    ]
    if rows:
        yield "| option | |\n| --- | --- |"
        yield from (f"| `{_cell(option)}` | {_cell(text)} |" for option, text in rows)
        yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _command(child, f"{path} {name}", min(level + 1, 3))


def _title(tag: Mapping[str, Any]) -> str:
    # Its description is that of the tag `tune`.
    return "Events" if tag["name"] == "events" else str(tag["description"].partition(";")[0])


def _badge(method: str) -> str:
    return f'<span class="method {method}">{method.upper()}</span>'


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _resolved(document: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference within the document."""
    while "$ref" in part:
        found: Any = document
        for key in part["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        part = found
    return part
