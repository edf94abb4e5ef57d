"""Pages of the site: navigation from docs/README.md, pages outside of docs/, links between them.

The pages stay readable on a code host, whose links are paths in the repository. A link to a file
that is a page elsewhere on the site, such as `../SECURITY.md` or `../openapi.yaml`, leads there.
"""

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference import api_pages, reference_pages

ROOT = Path(__file__).parents[2]
# Files of the repository -> pages of the site; reference.py writes those below reference/.
PLACES: Mapping[str, str] = {
    "README.md": "project/overview.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "openapi.yaml": "reference/api/index.md",
    "luthier/__main__.py": "reference/cli.md",
    "luthier": "reference/client.md",
}
_FENCE = re.compile(r"(^```.*?^```)", re.S | re.M)
# Code, which is left as it is, or a link with its text, which may hold code.
_LINK = re.compile(r"`[^`\n]*`|\[((?:[^\[\]`]|`[^`\n]*`)*)\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(##+) (.+)$")
_ROW = re.compile(r"^\| \[([^]]+)\]\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the navigation of docs/README.md: headings are sections, first cells are pages."""
    config.nav = [{"Home": "README.md"}, *_sections("docs/README.md")]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/, and the files of the examples."""
    examples = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "examples").rglob("*"))
        if path.suffix in (".md", ".json", ".py", ".csv", ".png")
    ]
    for path in [*(path for path in PLACES if path.endswith(".md")), *examples]:
        files.append(File.generated(config, place(path), abs_src_path=str(ROOT / path)))
    for path, text in reference_pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    source = _source(page.file.src_uri)
    parts = _FENCE.split(markdown)
    parts[::2] = [
        _LINK.sub(lambda match: _link(match, source, page.file.src_uri), part)
        for part in parts[::2]
    ]
    return "".join(parts)


def place(path: str) -> str:
    """Return where a file of the repository is on the site, as a path below docs/."""
    return PLACES.get(path, path.removeprefix("docs/"))


def _source(uri: str) -> str:
    """Return the file of the repository that a page of the site was made from."""
    moved = {page: path for path, page in PLACES.items()}
    return moved.get(uri) or (uri if uri.startswith("examples/") else f"docs/{uri}")


def _link(match: re.Match[str], source: str, uri: str) -> str:
    text, link = match[1], match[2]
    path, hash_sign, anchor = (link or "").partition("#")
    if not path or ":" in path or uri.startswith("reference/"):
        return match[0]
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if not target.startswith(("docs/", "examples/")) and target not in PLACES:
        return text  # a file of the code, which is no page
    return f"[{text}]({_folder(uri)}{place(target)}{hash_sign}{anchor})"


def _folder(uri: str) -> str:
    """Return the way from a page to the root of the site."""
    return "../" * uri.count("/")


def _sections(index: str) -> list[Any]:
    """Read headings and first cells of tables into a nested navigation."""
    top: list[Any] = []
    levels: dict[int, list[Any]] = {1: top}
    for line in (ROOT / index).read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.match(line):
            level = len(heading[1])
            section: list[Any] = []
            levels[level - 1].append({heading[2]: section})
            levels[level] = section
        elif row := _ROW.match(line):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(index), row[2]))
            levels[max(levels)].append({row[1]: _entry(path)})
        if heading:
            levels = {level: found for level, found in levels.items() if level <= len(heading[1])}
    return top


def _entry(path: str) -> Any:
    """Return a page, or an index page with those that it lists."""
    if path == "openapi.yaml":
        return api_pages()
    if path == "examples/README.md":
        folders = sorted((ROOT / "examples").glob("*/README.md"))
        return [place(path), *(folder.relative_to(ROOT).as_posix() for folder in folders)]
    if path == "docs/decisions/README.md":
        pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
        return [place(path), *(f"decisions/{page.name}" for page in pages)]
    return place(path)
