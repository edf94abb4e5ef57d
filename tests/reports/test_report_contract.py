"""The report in the contract, and what it costs an API process that draws none."""

import subprocess
import sys


def test_the_api_starts_without_drawing_or_learning_libraries():
    code = (
        "import sys, api.app;"
        "heavy = {'matplotlib', 'sklearn', 'pandas', 'tensorflow', 'scipy'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_contract_names_every_form_of_an_answer(app_client):
    paths = app_client.get("/openapi.json").json["paths"]

    def forms(path):
        return set(paths[path]["get"]["responses"]["200"]["content"])

    assert forms("/compare") == {"application/json", "text/csv", "image/png"}
    assert forms("/tune/{job}/report") == {"image/png"}
    assert forms("/tune/{job}/importance") == {"application/json"}
