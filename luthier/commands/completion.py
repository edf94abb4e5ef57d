"""`luthier completion`: the script by which a shell completes commands and options."""

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion of a shell.

    \b
    luthier completion bash >> ~/.bashrc
    luthier completion zsh >> ~/.zshrc
    luthier completion fish > ~/.config/fish/completions/luthier.fish
    """
    from click.shell_completion import get_completion_class

    from luthier.cli import main

    made = get_completion_class(shell)
    assert made is not None, shell
    click.echo(made(main, {}, "luthier", "_LUTHIER_COMPLETE").source())
