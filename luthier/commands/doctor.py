"""`luthier doctor`: what is wrong on this machine, and what to do about it."""

import json
import sys
from dataclasses import asdict

import click

from luthier.commands.connection import REFUSED
from luthier.commands.rendering import shown

_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "wrong": ("WRONG", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Check packages, settings, address, disk, database, storage, memory and GPU.

    Exits with 1 if something is wrong.

    \b
    luthier doctor
    luthier doctor --json | jq '.checks[] | select(.state != "ok")'
    """
    from luthier.commands.checks import State, run_checks

    checks = list(run_checks())
    is_ok = all(check.state is not State.WRONG for check in checks)
    if as_json:
        click.echo(json.dumps({"ok": is_ok, "checks": [asdict(check) for check in checks]}))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark, color = _MARKS[check.state]
            click.echo(
                f"{click.style(mark.ljust(7), fg=color)}  {check.name.ljust(width)}"
                f"  {shown(check.found)}"
            )
            if check.advice:
                click.echo(f"{' ' * (width + 11)}→ {check.advice}")
        click.echo("Everything needed is there." if is_ok else "Something is wrong.")
    if not is_ok:
        sys.exit(REFUSED)
