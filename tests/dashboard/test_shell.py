"""The page of the dashboard as it is served: headers, files, libraries; no browser."""

import gzip
import hashlib
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from api.dashboard.files import POLICY, static_files

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "api" / "dashboard" / "static"
VENDOR = STATIC / "vendor"
OWN = sorted(
    path
    for path in STATIC.rglob("*")
    if path.suffix in (".js", ".css", ".html") and VENDOR not in path.parents
)
IMPORTED = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""")
EXPORTED = re.compile(r"export (?:default )?(?:async )?(?:const|function|class) (\w+)")
NAMED = re.compile(r"""import \{([^}]+)\} from ["'](\.[^"']+)["']""")
FIRST_LOAD = ("index.html", "app.js", "api.js", "ui.js", "format.js", "table.js", "theme.js")


def test_the_page_is_open_and_allows_only_its_own_files(app_client):
    answer = app_client.get("/")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert policy == POLICY
    assert "unsafe" not in policy
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=", answer.text)
    for address in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert address.startswith("/")
        assert app_client.get(address).status_code in (200, 301, 308)


def test_its_files_need_no_key_and_data_does(connect, settings):
    locked = connect(
        replace(settings, api_keys="reader:read:a-key-of-many-letters-and-digits-1234")
    )
    assert locked.get("/").status_code == 200
    assert locked.get("/dashboard/static/app.js").status_code == 200
    assert locked.get("/tune").status_code == 401


def test_files_are_kept_by_browsers_and_checked(app_client):
    address = "/dashboard/static/vendor/echarts.js"
    whole = app_client.get(address)
    assert whole.mimetype == "text/javascript"
    assert whole.headers["Cache-Control"] == "no-cache"
    packed = app_client.get(address, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert gzip.decompress(packed.data) == whole.data
    assert len(packed.data) < len(whole.data) / 2
    again = app_client.get(address, headers={"If-None-Match": whole.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "../files.py", "..%2ffiles.py", "", "pages/"])
def test_nothing_else_is_served(app_client, name):
    assert app_client.get(f"/dashboard/static/{name}").status_code == 404


def test_every_module_and_every_name_that_is_imported_exists():
    for path in OWN:
        if path.suffix != ".js":
            continue
        text = path.read_text()
        for target in IMPORTED.findall(text):
            assert (path.parent / target).is_file(), f"{path.name} imports {target}"
        for names, target in NAMED.findall(text):
            module = (path.parent / target).resolve()
            if VENDOR in module.parents:
                continue
            exported = set(EXPORTED.findall(module.read_text()))
            wanted = {name.split(" as ")[0].strip() for name in names.split(",") if name.strip()}
            assert wanted <= exported, f"{path.name} from {target}: {wanted - exported}"


def test_every_route_has_a_page():
    routes = re.findall(r'import\("\./(pages/\w+\.js)"\)', (STATIC / "app.js").read_text())
    assert len(routes) == 8
    for route in routes:
        assert "export default function" in (STATIC / route).read_text(), route


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_own_files_are_short_and_fit_the_policy(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert not re.search(r"innerHTML|dangerouslySet|\beval\(|new Function|document\.write", text)
    assert not re.search(r'\sstyle="', text)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)


def test_libraries_are_those_of_the_manifest():
    manifest = json.loads((VENDOR / "manifest.json").read_text())["files"]
    pinned = json.loads((STATIC.parent / "vendor" / "package.json").read_text())["dependencies"]
    shipped: dict[str, str] = {}
    for name, entry in manifest.items():
        content = (VENDOR / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"], name
        assert not re.search(rb"\beval\(|new Function\(", content)
        licences = (VENDOR / entry["licences"]).read_text()
        for library in entry["libraries"]:
            assert library in licences
        shipped |= entry["libraries"]
    assert pinned.items() <= shipped.items()
    assert {path.name for path in VENDOR.glob("*.js")} == set(manifest)


def test_the_first_load_is_small():
    files = static_files()
    first = [*FIRST_LOAD, "vendor/preact.js", *(name for name in files if name.endswith(".css"))]
    assert sum(len(files[name].packed or files[name].body) for name in first) < 40_000


def test_a_wheel_ships_every_file():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    [pattern] = declared["package-data"]["api.dashboard"]
    shipped = {path for path in STATIC.parent.glob(pattern) if path.is_file()}
    assert shipped == {path for path in STATIC.rglob("*") if path.is_file()}
    assert len(shipped) >= len(OWN)
