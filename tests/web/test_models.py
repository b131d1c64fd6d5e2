"""Releases on the page: put in use, taken back, by operators alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stgal_stream.extractor.releases import Release, Releases, sha256_of
from stgal_stream.log.reading import values
from stgal_stream.wire.rollout import Promotion, decode
from tests.support.tiny_model import tiny
from tests.web.conftest import Seen, Web, web_of

TOKEN, VIEWER = "an-operator-of-the-site", "somebody-who-may-look"


@pytest.fixture
def web(seen: Seen, tmp_path: Path) -> Iterator[Web]:
    releases = Releases(tmp_path / "releases")
    for name in ("one", "two"):
        model = tiny(tmp_path / f"{name}.onnx", version=name)
        releases.add(Release(name, sha256_of(model), "shipped", "2026-01-01", {}, {}), model)
    yield from web_of(seen, tmp_path, TOKEN, VIEWER)


def post(web: Web, path: str, token: str = TOKEN, **asked: str) -> tuple[int, dict[str, object]]:
    told = {"authorization": f"Bearer {token}"}
    answer = web.client.post(f"/api/v1/models/{path}", params=asked, headers=told)
    return answer.status_code, answer.json()


def in_use(web: Web) -> object:
    told = {"authorization": f"Bearer {TOKEN}"}
    return web.client.get("/api/v1/models", headers=told).json()["inUse"]


def test_a_release_is_put_in_use_and_taken_back(seen: Seen, web: Web) -> None:
    assert post(web, "promote", version="one") == (202, {"version": "one"})
    assert post(web, "promote", version="two") == (202, {"version": "two"})
    assert in_use(web) == "two"
    assert post(web, "rollback") == (202, {"version": "one"})
    assert post(web, "rollback") == (202, {"version": None})
    assert in_use(web) is None
    said = [decode(value) for value in values(seen.log, seen.config.topics.releases)]
    kinds = [(s.kind, s.version) for s in said if isinstance(s, Promotion)]
    assert kinds == [("promote", "one"), ("promote", "two"), ("rollback", "one"), ("rollback", "")]
    assert [line.count('"promote"') for line in web.audit.read_text().splitlines()] == [1, 1, 0, 0]


def test_what_cannot_be_is_refused(seen: Seen, web: Web, tmp_path: Path) -> None:
    end = seen.log.end(seen.config.topics.releases, 0)
    assert post(web, "promote", VIEWER, version="one")[0] == 403
    assert post(web, "rollback", VIEWER)[0] == 403
    for name in ("three", "../one", "one/../two", "\0"):
        status, problem = post(web, "promote", version=name)
        assert status == 409, problem
    (tmp_path / "releases" / "one" / "model.onnx").write_bytes(b"damaged")
    assert post(web, "promote", version="one")[0] == 409
    assert seen.log.end(seen.config.topics.releases, 0) == end
