"""Live progress of a stream that has an end."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from stgal_stream.daemon import Daemon


def counted(console: Console) -> Progress:
    """Bars of things that are counted."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


class StreamProgress:
    """Bars for both stages with rates and what was found; lines now and then without a terminal."""

    def __init__(self, console: Console, daemon: Daemon, total: int) -> None:
        self._daemon = daemon
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._embed = self._progress.add_task("embed", total=total, note="")
        self._associate = self._progress.add_task("associate", total=total, note="")

    def __enter__(self) -> StreamProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.update()
        self._progress.stop()

    def update(self) -> None:
        """Shows how far the stages are."""
        daemon = self._daemon
        if daemon.embed is not None:
            self._progress.update(self._embed, completed=daemon.embed.progress)
        if daemon.associate is not None:
            total = self._progress.tasks[1].total or 0
            done = min(daemon.associate.progress, total)
            trackers = list(daemon.associate.trackers.values())
            pairs = sum(len(t.associator.accepted) for t in trackers)
            people = sum(len(t.associator.identities) for t in trackers)
            note = f"{people} identities, {pairs} associations"
            self._progress.update(self._associate, completed=done, note=note)
