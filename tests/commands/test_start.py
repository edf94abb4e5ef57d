"""The commands start fast: nothing heavy is imported that a command does not need."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from luthier.cli import COMMANDS, SECTIONS, main
from luthier.commands.predict import delimiter_of, new_names
from luthier.commands.tune import nested, request_of
from luthier.commands.tune import tune as tune_command
from tests.processes import environment

HEAVY = ("pandas", "numpy", "onnxruntime", "tensorflow", "keras", "sklearn", "scipy", "sqlalchemy")
PROGRAM = """
import sys
from luthier.cli import main
try:
    main(sys.argv[1:], prog_name="luthier")
finally:
    print("imported:", *sys.modules)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["tune", "--help"], ["completion", "fish"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    text, _, imported = done.stdout.partition("imported:")
    assert "luthier" in text
    assert set(HEAVY).isdisjoint(imported.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = CliRunner().invoke(main, [name, "--help"], prog_name="luthier")
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"Usage: luthier {name}")


def test_the_help_lists_every_command_by_section() -> None:
    text = CliRunner().invoke(main, ["--help"]).output
    for title, commands in SECTIONS.items():
        assert f"{title}:" in text
        for name, (_, line) in commands.items():
            assert name in text
            assert line in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_the_command(shell: str) -> None:
    script = CliRunner().invoke(main, ["completion", shell], prog_name="luthier").output
    assert "_LUTHIER_COMPLETE" in script


def test_the_command_completes_names(tmp_path: Path) -> None:
    asked = {"_LUTHIER_COMPLETE": "bash_complete", "COMP_WORDS": "luthier mod", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "luthier"],
        capture_output=True,
        text=True,
        env=environment() | asked,
    )
    assert done.stdout.split() == ["plain,models", "plain,model"]


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m luthier --help | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert done.stdout.strip() in ("0", "1")  # 0 where it had written all before


def test_dotted_fields_make_objects() -> None:
    given = {"budget.epochs": "5", "budget.max_seconds": "1.5", "objective": "mae", "seed": "1"}
    assert nested(given) == {
        "budget": {"epochs": 5, "max_seconds": 1.5},
        "objective": "mae",
        "seed": 1,
    }


def test_options_go_before_a_whole_request(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text('{"seed": 1, "budget": {"epochs": 9, "max_trials": 3}}', encoding="utf-8")
    names = [parameter.name for parameter in tune_command.params]
    options: dict[str, object] = dict.fromkeys(filter(None, names), None)
    options |= {"target": ("a", "b"), "exclude": ("c",), "tags": ()}
    options |= {"settings": ("budget.max_seconds=5", "objective=mae")}
    assert request_of({**options, "request": str(file), "trials": 7}) == {
        "seed": 1,
        "budget": {"epochs": 9, "max_trials": 7, "max_seconds": 5},
        "target": ["a", "b"],
        "exclude": ["c"],
        "objective": "mae",
    }


def test_delimiters_and_names_of_new_columns() -> None:
    assert [delimiter_of(text) for text in ("a,b;c,d\n;;;;", "a\tb\n", "a|b", "one")] == [
        ",",
        "\t",
        "|",
        ",",
    ]
    assert new_names(["prediction", "lower"], ["prediction", "prediction_2"]) == [
        "prediction_3",
        "lower",
    ]
