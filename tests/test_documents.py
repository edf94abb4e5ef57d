"""The pages of the documentation: links, reachability, decisions."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
] + sorted(path for folder in ("docs", "examples") for path in (ROOT / folder).rglob("*.md"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)
FENCE = re.compile(r"^```.*?^```", re.S | re.M)


@cache
def links(page: Path) -> list[str]:
    """The relative links of a page, without those in its code."""
    found = LINK.findall(CODE.sub("", page.read_text(encoding="utf-8")))
    return [link for link in found if not link.startswith(("http:", "https:", "mailto:"))]


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def target(page: Path, link: str) -> Path:
    """The file that a relative link of `page` names; a folder stands for its README."""
    path = (page.parent / link.partition("#")[0]).resolve() if link[0] != "#" else page
    return path / "README.md" if (path / "README.md").exists() else path


def relative(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_relative_link_resolves(page: Path) -> None:
    for link in links(page):
        found = target(page, link)
        assert found.exists(), link
        anchor = link.partition("#")[2]
        assert not anchor or anchor in anchors(found), link


def test_every_page_is_reachable_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            waiting += [target(page, link) for link in links(page)]
    assert set(PAGES) <= reached


def test_the_readme_s_first_screen_has_the_commands_and_the_figures() -> None:
    screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:45]
    text = "\n".join(screen)
    for shown in ("make demo", "make serve", "localhost:8000/tune", "localhost:8000/predict"):
        assert shown in text
    assert sum(line.startswith("| --- ") for line in screen) == 1
    end = next(number for number, line in enumerate(screen) if line.startswith("## "))
    assert max(map(len, screen[:end])) <= 120


@pytest.mark.parametrize("page", DECISIONS, ids=relative)
def test_a_decision_has_number_date_and_status(page: Path) -> None:
    title, blank, date, status, *_ = page.read_text(encoding="utf-8").splitlines()
    assert title.startswith(f"# {page.name[:4]} ")
    assert blank == ""
    assert re.fullmatch(r"Date: \d{4}-\d{2}-\d{2}", date)
    assert status.startswith(("Status: accepted", "Status: superseded by ["))


def test_the_decisions_are_numbered_and_listed() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    index = ROOT / "docs" / "decisions" / "README.md"
    assert links(index) == [page.name for page in DECISIONS]
