"""The command line: ``stgal-stream``."""

from __future__ import annotations

import os
import sys

import click

from stgal_stream import __version__
from stgal_stream.commands.adopt import adopt
from stgal_stream.commands.bridge import bridge
from stgal_stream.commands.completion import completion
from stgal_stream.commands.configuration import check_config, topics
from stgal_stream.commands.dead_letters import dead_letters
from stgal_stream.commands.demo import demo
from stgal_stream.commands.evaluate import evaluate
from stgal_stream.commands.export import export
from stgal_stream.commands.inspect import inspect
from stgal_stream.commands.models import models
from stgal_stream.commands.quantise import quantise
from stgal_stream.commands.replay import replay
from stgal_stream.commands.reproduce import reproduce
from stgal_stream.commands.retrain import retrain
from stgal_stream.commands.run import run
from stgal_stream.errors import StgalError

_EPILOG = """\b
Examples:
  stgal-stream demo
  stgal-stream replay site --to detections.jsonl
  stgal-stream run --from detections.jsonl --to identities.jsonl --mapping mapping.csv
  stgal-stream run --brokers localhost:9092
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(__version__, prog_name="stgal-stream")
def cli() -> None:
    """Streaming multi-camera person tracking: detections in, global identities out."""


_COMMANDS: tuple[click.Command, ...] = (
    run,
    replay,
    demo,
    evaluate,
    inspect,
    bridge,
    dead_letters,
    retrain,
    reproduce,
    models,
    export,
    adopt,
    quantise,
    topics,
    check_config,
    completion,
)
for command in _COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Runs the command line; errors end in one line that says what to do, not in a trace."""
    os.umask(0o077)  # crops, embeddings and who was where: for this user's eyes alone
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except StgalError as error:
        click.echo(f"stgal-stream: {error}", err=True)
        if error.hint:
            click.echo(f"  hint: {error.hint}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stgal-stream: stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)


if __name__ == "__main__":
    main()
