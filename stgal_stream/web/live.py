"""Server-sent events: what happens, as it is committed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

from stgal_stream.web.questions import Questions

_AT_ONCE = 200
_KEEP_ALIVE_S = 15.0


class Live:
    """Wakes everybody who waits for what is new. ``wake`` may be called on any thread."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._lock = threading.Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self.stopped = False

    def wake(self) -> None:
        """Something new was committed."""
        with self._lock:
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
                found = await asyncio.to_thread(self._questions.events_after, number, _AT_ONCE)
                for where, event in found:
                    number = event.number
                    if where == site:
                        body = event.model_dump_json(by_alias=True)
                        yield f"id: {number}\nevent: identity\ndata: {body}\n\n"
                if len(found) == _AT_ONCE:
                    continue
                yield "event: change\ndata: {}\n\n"
                try:
                    await asyncio.wait_for(news.wait(), _KEEP_ALIVE_S)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            with self._lock:
                self._waiting.discard(me)
