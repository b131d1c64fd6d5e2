"""Server-sent events: what happens, as it is committed.

What is new is read and written out once for all who have come as far. Each goes on at his own pace:
who is slow holds up nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass

from stgal_stream.web.questions import Questions

_AT_ONCE = 200
_KEEP_ALIVE_S = 15.0
_CHANGE = "event: change\ndata: {}\n\n"


@dataclass(frozen=True, slots=True)
class _News:
    """Events after a number up to another: their text by site, and whether there are more."""

    until: int
    texts: dict[str, str]
    more: bool


class Live:
    """Wakes everybody who waits for what is new. ``wake`` may be called on any thread."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._asked: dict[tuple[asyncio.AbstractEventLoop, int], asyncio.Future[_News]] = {}
        self.stopped = False

    def wake(self) -> None:
        """Something new was committed."""
        with self._lock:
            self._asked.clear()
            for loop, event in self._waiting:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(event.set)

    def stop(self) -> None:
        """Ends all streams."""
        self.stopped = True
        self.wake()

    async def stream(self, site: str, after: int | None) -> AsyncIterator[str]:
        """Events of a site after a number (None: from now on), each with its number as its id, so
        that a browser that lost the connection goes on where it was. Where only other things have
        changed there is an event ``change``."""
        news = asyncio.Event()
        me = asyncio.get_running_loop(), news
        with self._lock:
            self._waiting.add(me)
        try:
            number = after
            if number is None:
                number = await asyncio.to_thread(self._questions.newest_event)
            yield "retry: 2000\n\n"
            while not self.stopped:
                news.clear()
                found = await self._after(number)
                number, text = found.until, found.texts.get(site, "")
                if found.more:
                    if text:
                        yield text
                    continue
                yield text + _CHANGE
                try:
                    await asyncio.wait_for(news.wait(), _KEEP_ALIVE_S)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            with self._lock:
                self._waiting.discard(me)

    async def _after(self, number: int) -> _News:
        """What follows a number; the same for all who ask before something new is committed."""
        key = asyncio.get_running_loop(), number
        with self._lock:
            asked = self._asked.get(key)
            if asked is None:
                asked = asyncio.ensure_future(asyncio.to_thread(self._read, number))
                self._asked[key] = asked
        return await asyncio.shield(asked)  # who leaves takes it from nobody else

    def _read(self, number: int) -> _News:
        found = self._questions.events_after(number, _AT_ONCE)
        texts: dict[str, list[str]] = {}
        for site, event in found:
            body = event.model_dump_json(by_alias=True)
            text = f"id: {event.number}\nevent: identity\ndata: {body}\n\n"
            texts.setdefault(site, []).append(text)
        until = found[-1][1].number if found else number
        joined = {site: "".join(some) for site, some in texts.items()}
        return _News(until, joined, len(found) == _AT_ONCE)
