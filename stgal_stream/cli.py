"""The command line: ``stgal-stream``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module

import click

from stgal_stream.errors import StgalError

_EPILOG = """\b
Examples:
  stgal-stream demo
  stgal-stream replay site --to detections.jsonl
  stgal-stream run --from detections.jsonl --to identities.jsonl --mapping mapping.csv
  stgal-stream run --brokers localhost:9092
"""


# Each command's module under ``commands`` and what it is for, so that `--help` loads none of them.
COMMANDS = {
    "run": (
        "run",
        "Track people: a daemon on Kafka or on an embedded log, or a file from end to end.",
    ),
    "replay": (
        "replay",
        "Send a data set, a schedule, a simulated site or a recording as a stream of detections.",
    ),
    "demo": ("demo", "Simulate a site, track its people online, and compare with the truth."),
    "evaluate": (
        "evaluate",
        "Retrieval tables of a data set or of embeddings; or the figures of a stream's identities.",
    ),
    "inspect": (
        "inspect",
        "Camera graph, travel times, alpha, sigma, expected precision and drift of each site.",
    ),
    "web": (
        "web",
        "Look at a site in a browser: cameras, travel times, identities, search by picture.",
    ),
    "audit": (
        "audit",
        "Judge a random sample of pairs by eye: their true precision beside the expected one.",
    ),
    "erase": (
        "person",
        "Erase one person: pictures, embeddings, events, snapshots, the page's read model.",
    ),
    "export-person": (
        "person",
        "Write all that the log holds of one person: a request for access.",
    ),
    "bridge": ("bridge", "Carry messages between the log and MQTT or a webhook."),
    "dead-letters": (
        "dead_letters",
        "What could not be used and why; send it again after its cause is mended.",
    ),
    "retrain": (
        "retrain",
        "Train the extractor on the pairs that the stream found, without a label.",
    ),
    "reproduce": (
        "reproduce",
        "Baselines before and after association learning, P_v and P_a, beside what was printed.",
    ),
    "models": ("models", "List, show, promote and roll back releases of the extractor."),
    "export": ("export", "Export a ResNet-50 to ONNX and prove it equal to torch."),
    "adopt": ("adopt", "Decide how an ONNX model's crops go in and its features come out."),
    "quantise": (
        "quantise",
        "Make an 8-bit variant of an extractor: about twice as fast on a CPU.",
    ),
    "topics": (
        "configuration",
        "Make the topics that are missing, and say how the others differ from the configuration.",
    ),
    "check-config": (
        "configuration",
        "Check a configuration and the environment; print what would be in force.",
    ),
    "completion": ("completion", "Print the completion script of a shell."),
}


class _Commands(click.Group):
    """Loads a command when it is asked for."""

    def list_commands(self, ctx: click.Context | None) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context | None, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        found = getattr(import_module(f"stgal_stream.commands.{module}"), _name_in(cmd_name))
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in COMMANDS.items()])

    def loaded(self) -> Iterator[tuple[str, click.Command]]:
        """All commands, by name."""
        for name in COMMANDS:
            command = self.get_command(None, name)
            assert command is not None
            yield name, command


def _name_in(command: str) -> str:
    """A command's name in its module."""
    return command.replace("-", "_")


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG
)
@click.version_option(package_name="stgal-stream", prog_name="stgal-stream")
def cli() -> None:
    """Streaming multi-camera person tracking: detections in, global identities out."""


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
