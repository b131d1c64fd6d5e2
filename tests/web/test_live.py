"""What is new is read once, for all who listen."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from stgal_stream.web.live import Live
from stgal_stream.web.questions import Questions
from tests.web.conftest import SITE, Web


def test_ten_pages_cost_one_reading(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """All get the same, to the end; one that leaves meanwhile takes it from nobody."""
    newest = web.questions.newest_event()
    read: list[int] = []
    right = Questions.events_after

    def counted(self: Questions, number: int, n: int) -> Any:
        read.append(number)
        everybody.wait()
        return right(self, number, n)

    everybody = threading.Event()
    monkeypatch.setattr(Questions, "events_after", counted)

    async def listen(live: Live) -> str:
        heard = ""
        async for text in live.stream(SITE, newest - 5):
            heard += text
            if "event: change" in text:
                break
        return heard

    async def ten() -> list[str]:
        live = Live(web.questions)
        first, *others = [asyncio.create_task(listen(live)) for _ in range(10)]
        while not read:
            await asyncio.sleep(0.01)
        first.cancel()
        asyncio.get_running_loop().call_later(0.05, everybody.set)
        heard = await asyncio.gather(*others)
        live.wake()
        await listen(live)  # asks again: something may have come
        return heard

    heard = asyncio.run(ten())
    assert read == [newest - 5, newest - 5]
    assert len(set(heard)) == 1
    assert heard[0].count("event: identity") == 5
