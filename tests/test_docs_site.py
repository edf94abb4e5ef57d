"""The site of the documentation: it builds strictly, links nowhere wrong, and needs no network."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest
import yaml

from luthier.cli import main
from luthier.client import Client
from tests.test_documents import ROOT

# Attributes whose file a browser loads with the page.
ASSETS = {"link": "href", "script": "src", "img": "src", "iframe": "src"}


class Page(HTMLParser):
    """The links, assets and anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.assets: list[str] = []
        self.anchors: set[str] = set()
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.anchors.add(str(found["id"]))
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag in ASSETS and found.get(ASSETS[tag]):
            self.assets.append(str(found[ASSETS[tag]]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """Every page of the site, built once."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return {path: Page(path) for path in sorted(folder.rglob("*.html"))}


def page(site: dict[Path, Page], name: str) -> Page:
    (found,) = [each for path, each in site.items() if path.as_posix().endswith(f"/{name}")]
    return found


def test_every_link_and_asset_is_there(site: dict[Path, Page]) -> None:
    assert len(site) > 100
    for path, each in site.items():
        if path.name == "404.html":  # its links are those of a site at the root of a server
            continue
        for link in [*each.links, *each.assets]:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            assert target.is_file(), f"{path}: {link}"
            if parts.fragment and target in site:
                assert unquote(parts.fragment) in site[target].anchors, f"{path}: {link}"


def test_no_page_loads_anything_from_elsewhere(site: dict[Path, Page]) -> None:
    for path, each in site.items():
        assert [asset for asset in each.assets if urlsplit(asset).netloc] == [], path
        # The theme's script loads Mermaid from elsewhere for such a block.
        assert 'class="mermaid"' not in each.text


def test_every_page_is_in_the_navigation(site: dict[Path, Page]) -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    listed = set(
        re.findall(r"^\| \[[^]]+\]\(([\w-]+\.md)\)", (ROOT / "docs/README.md").read_text(), re.M)
    )
    assert pages == listed


def test_the_reference_has_every_operation_and_schema(site: dict[Path, Page]) -> None:
    document = yaml.safe_load((ROOT / "openapi.yaml").read_text(encoding="utf-8"))
    anchors = {
        anchor
        for path, each in site.items()
        if "reference/api" in str(path)
        for anchor in each.anchors
    }
    for item in document["paths"].values():
        for method, operation in item.items():
            if method != "parameters":
                assert operation["operationId"].lower() in anchors
    assert {name.lower() for name in document["components"]["schemas"]} <= anchors


def test_the_reference_has_every_command_and_method(site: dict[Path, Page]) -> None:
    assert isinstance(main, click.Group)
    shown = page(site, "reference/cli.html").text
    assert all(f"luthier {name}" in shown for name in main.commands)
    anchors = page(site, "reference/client.html").anchors
    methods = {name for name in vars(Client) if not name.startswith("_")}
    assert {f"luthier.client.Client.{name}" for name in methods} <= anchors
