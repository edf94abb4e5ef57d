"""A service with keys asks for one, once for a tab."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.dashboard.conftest import Visitor, Watch
from tests.processes import answers, free_bind, run, running
from tests.waiting import wait_until


def test_the_key_is_asked_for_once(browser: Browser, tmp_path: Path) -> None:
    bind, data = free_bind(), tmp_path / "data"
    run("migrate", data=data)
    key = run("keys", "create", "--name", "visitor", "--scopes", "read", data=data).stdout.strip()
    with running("api", tmp_path / "api.log", bind=bind, data=data) as process:
        url = f"http://{bind}"
        wait_until(lambda: process.poll() is not None or answers(f"{url}/readyz"))
        visitor = Visitor(browser, url, Watch(url, {401, 403}))
        page = visitor.open("models")
        dialog = page.get_by_role("dialog")
        field = dialog.get_by_label("API key")
        field.fill("no such key")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("not valid")
        field.fill(key)
        page.keyboard.press("Enter")
        expect(dialog).to_have_count(0)
        expect(page.get_by_role("heading", name="No model yet")).to_be_visible()

        page.reload()  # the tab keeps it
        expect(page.get_by_role("heading", name="No model yet")).to_be_visible()
        assert page.evaluate("localStorage.length") == 0

        # A key that may only read is told so where it tries more.
        page.get_by_role("button", name="Import an ONNX file").click()
        page.get_by_label("File with an ONNX file").set_input_files(
            {"name": "a.onnx", "mimeType": "", "buffer": b"graph"}
        )
        page.get_by_role("button", name="Import", exact=True).click()
        expect(dialog.get_by_role("alert")).to_contain_text("lacks the scope 'tune'")
        page.keyboard.press("Escape")
        page.get_by_role("link", name="Start", exact=True).click()
        page.get_by_label("File with a table").set_input_files(
            {"name": "a.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n"}
        )
        expect(page.get_by_role("alert")).to_contain_text("lacks the scope")
        visitor.close()
