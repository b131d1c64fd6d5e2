"""``completion``: the shell's own completion, from click."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_EPILOG = """\b
Examples:
  eval "$(stgal-stream completion bash)"
  stgal-stream completion fish > ~/.config/fish/completions/stgal-stream.fish
"""


@click.command(epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell."""
    found = get_completion_class(shell)
    assert found is not None
    click.echo(
        found(
            click.get_current_context().find_root().command,
            {},
            "stgal-stream",
            "_STGAL_STREAM_COMPLETE",
        ).source()
    )
