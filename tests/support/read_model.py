"""The page's read model of a log."""

from __future__ import annotations

import threading
from pathlib import Path

from stgal_stream.log.port import Log
from stgal_stream.settings import Config
from stgal_stream.web.follower import Follower
from stgal_stream.web.read_model import ReadModel, source_of
from tests.support.waiting import wait_for


def follow(log: Log, config: Config, folder: Path) -> ReadModel:
    """A read model of all that a log holds now."""
    model = ReadModel(folder, source_of(log, config.topics))
    follower = Follower(log, config.topics, model, lambda: None)
    stop = threading.Event()
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    wait_for(lambda: follower.caught_up.is_set() or not thread.is_alive(), "the end of the log")
    stop.set()
    thread.join()
    assert follower.caught_up.is_set()
    assert follower.fault is None
    return model
