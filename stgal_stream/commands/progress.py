"""Live progress of a stream that has an end."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from stgal_stream.daemon import Daemon
from stgal_stream.streaming.associate_stage import AssociateStage

logger = logging.getLogger(__name__)

SAY_EVERY_S = 10.0


class Rate(ProgressColumn):
    """How many a second, of those lately done."""

    def render(self, task: Task) -> Text:
        """As text; empty until it is known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.3g}/s" if speed else "", style="progress.data.speed")


def counted(console: Console) -> Progress:
    """Bars of things that are counted, with their rate and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=console,
    )


class StepBars:
    """A bar for each step of a long job, with a note, on bars that somebody else shows; without a
    terminal (a timer's journal) a line every ten seconds."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._next_s = time.monotonic() + SAY_EVERY_S

    def say(self, what: str, done: int, total: int, note: str) -> None:
        """How far a step is."""
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        shown = f"{what} ({note})" if note else what
        number = self._tasks[what]
        self._bars.update(number, completed=done, total=total, description=shown)
        console = self._bars.console
        if not console.is_terminal and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + SAY_EVERY_S
            task = next(task for task in self._bars.tasks if task.id == number)
            left_s = task.time_remaining
            left = "" if left_s is None else f", {timedelta(seconds=int(left_s))} left"
            rate = "" if not task.speed else f", {task.speed:.3g}/s"
            console.print(f"{shown}: {done} of {total}{rate}{left}", highlight=False)


class LoggedProgress:
    """A line in the log every ten seconds in which something was read: how a daemon gets on."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._said = (0, 0)
        self._next_s = time.monotonic() + SAY_EVERY_S

    def update(self) -> None:
        """Says how far the stages are, if that is news."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + SAY_EVERY_S
        embed, associate = self._daemon.embed, self._daemon.associate
        now = (embed.progress if embed else 0, associate.progress if associate else 0)
        if now == self._said:
            return
        parts = [f"{now[0]} detections embedded"] if embed else []
        if associate:
            parts.append(f"{now[1]} records associated, {found_so_far(associate)} in the window")
        self._said = now
        logger.info("%s", "; ".join(parts))


def found_so_far(associate: AssociateStage) -> str:
    """What the windows of all sites hold, in words."""
    trackers = list(associate.trackers.values())
    pairs = sum(len(t.window.accepted) for t in trackers)
    people = sum(len(t.window.identities) for t in trackers)
    return f"{people} identities, {pairs} associations"


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
            note = found_so_far(daemon.associate)
            self._progress.update(self._associate, completed=done, note=note)
