"""The API: what it answers, whom, and how it refuses."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from stgal_stream.errors import ConfigError, LogError
from stgal_stream.extractor.releases import Release, Releases, sha256_of
from stgal_stream.log.port import NewRecord
from stgal_stream.web.access import Access, is_loopback
from stgal_stream.web.rollouts import Rollouts
from stgal_stream.wire.rollout import Refused, encode
from tests.support.tiny_model import tiny
from tests.web.conftest import SITE, Seen, Web, web_of

TOKEN = "a-token-of-some-length"
# A time may be any text in the document; what is none is refused all the same.
_NOT_ASKED = [positive_data_acceptance]


def get(web: Web, path: str, **parameters: Any) -> Any:
    answer = web.client.get(f"/api/v1/{path}", params={"site": SITE, **parameters})
    assert answer.status_code == 200, answer.text
    return answer.json()


def all_identities(web: Web, **asked: Any) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        page = get(web, "identities", limit=3, **asked, **({"cursor": cursor} if cursor else {}))
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


def test_a_site_and_its_cameras(web: Web) -> None:
    assert [site["site"] for site in web.client.get("/api/v1/sites").json()] == [SITE]
    site = get(web, "site")
    assert site["followed"] is True
    assert len(site["cameras"]) == 4
    assert site["learned"] in (True, False)
    assert 0 <= site["expectedPrecision"] <= 1
    assert sum(camera["people"] for camera in site["cameras"]) >= site["peopleNow"]
    assert any("not_json" in text for text in site["warnings"])


def test_pages_hold_every_identity_once_newest_first(web: Web) -> None:
    found = all_identities(web)
    rows = web.model.select("SELECT id FROM identity WHERE sightings > 0")
    assert sorted(one["id"] for one in found) == sorted(row["id"] for row in rows)
    times = [one["lastSeen"] for one in found]
    assert times == sorted(times, reverse=True)
    cameras = {camera for one in found for camera in one["sensorIds"]}
    for camera in cameras:
        there = all_identities(web, camera=camera)
        assert {o["id"] for o in there} == {o["id"] for o in found if camera in o["sensorIds"]}
    middle = found[len(found) // 2]["lastSeen"]
    newer = all_identities(web, since=middle)
    older = all_identities(web, until=middle)
    assert {o["id"] for o in newer} | {o["id"] for o in older} == {o["id"] for o in found}


def test_an_identity_tells_why(web: Web) -> None:
    one = max(all_identities(web), key=lambda identity: identity["sightings"])
    assert one["sightings"] > 1
    detail = get(web, "identity", id=one["id"])
    assert len(detail["sightings"]) == one["sightings"]
    starts = [sighting["start"] for sighting in detail["sightings"]]
    assert starts == sorted(starts)
    told = {event["sighting"] for event in detail["events"]}
    assert {sighting["id"] for sighting in detail["sightings"]} <= told
    joins = [event for event in detail["events"] if event["type"] == "joined"]
    assert joins
    assert all(0 <= event["evidence"]["pVisual"] <= 1 for event in joins)


def test_a_camera_pair_has_its_travel_times(web: Web) -> None:
    pair = next(p for p in get(web, "site")["pairs"] if p["associations"] > 2)
    first, second = pair["sensorIds"]
    detail = get(web, "pair", first=second, second=first)  # in any order
    assert len(detail["travelTimesSeconds"]) == len(detail["pairs"]) > 2
    assert detail["pair"]["sensorIds"] == [first, second]
    assert detail["history"]


def test_the_crop_is_what_the_camera_sent(seen: Seen, web: Web) -> None:
    row = web.model.select("SELECT * FROM sighting LIMIT 1")[0]
    answer = web.client.get("/api/v1/crop", params={"site": SITE, "sighting": row["id"]})
    assert answer.headers["content-type"] == "image/jpeg"
    assert "no-store" in answer.headers["cache-control"]
    record = seen.log.read(row["crop_topic"], row["crop_part"], row["crop_offset"], 1)[0]
    assert answer.content == base64.b64decode(json.loads(record.value)["crop"]["data"])
    line = json.loads(web.audit.read_text().splitlines()[-1])
    assert (line["action"], line["subject"]) == ("crop", row["id"])


def test_search_finds_the_person_first(web: Web) -> None:
    """By a sighting, and by its picture: its identity's other sightings lie before strangers."""
    people = [one for one in all_identities(web) if one["sightings"] >= 3]
    assert people
    right = 0
    for one in people:
        sighting = get(web, "identity", id=one["id"])["sightings"][0]["id"]
        found = get(web, "search", sighting=sighting, limit=5)
        assert found["searched"] == len(web.model.select("SELECT 1 FROM sighting"))
        apart = [match["distance"] for match in found["matches"]]
        assert apart == sorted(apart)
        assert sighting not in {match["sighting"]["id"] for match in found["matches"]}
        assert all(match["travelTimeSeconds"] >= 0 for match in found["matches"])
        right += found["matches"][0]["sighting"]["identity"] == one["id"]
        crop = web.client.get("/api/v1/crop", params={"site": SITE, "sighting": sighting})
        answer = web.client.post(
            "/api/v1/search",
            params={"site": SITE, "limit": 5},
            content=crop.content,
            headers={"content-type": "image/jpeg"},
        )
        assert answer.status_code == 200, answer.text
        identities = [match["sighting"]["identity"] for match in answer.json()["matches"]]
        assert one["id"] in identities
    assert right >= 0.7 * len(people)


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"x", "text/plain", 415, "send the picture itself"),
        (b"x", "image/jpeg", 422, "not a readable image"),
        (b"x" * 2_000_001, "image/jpeg", 413, "more than 2000000 bytes"),
        (b"", "image/png", 422, "not a readable image"),
    ],
)
def test_what_is_no_picture_is_refused(
    web: Web, body: bytes, kind: str, status: int, said: str
) -> None:
    answer = web.client.post(
        "/api/v1/search", params={"site": SITE}, content=body, headers={"content-type": kind}
    )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("site?site=nowhere", 404),
        ("identity?site=rendered&id=nobody", 404),
        ("crop?site=rendered&sighting=none", 404),
        ("search?site=rendered&sighting=none", 404),
        ("pair?site=rendered&first=a&second=b", 404),
        ("identities?site=rendered&cursor=zz", 404),
        ("identities?site=rendered&since=yesterday", 422),
        ("identities?site=rendered&limit=0", 422),
        ("site", 422),
        ("nothing", 404),
    ],
)
def test_refusals_are_problems(web: Web, path: str, status: int) -> None:
    answer = web.client.get(f"/api/v1/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]


def test_what_has_not_changed_is_not_sent_again(web: Web) -> None:
    path = f"/api/v1/identities?site={SITE}"
    tag = {"if-none-match": web.client.get(path).headers["etag"]}
    assert web.client.get(path, headers=tag).status_code == 304
    assert web.client.get(f"{path}&limit=1", headers=tag).status_code == 200


def test_events_go_on_where_a_browser_was(web: Web) -> None:
    newest = web.questions.newest_event()
    with web.client.stream(
        "GET", "/api/v1/events", params={"site": SITE}, headers={"last-event-id": str(newest - 2)}
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        ids = []
        for line in answer.iter_lines():
            if line.startswith("id: "):
                ids.append(int(line[4:]))
            if line == "event: change":
                break
    assert ids == [newest - 1, newest]


def test_releases_and_what_was_refused(seen: Seen, tmp_path: Path) -> None:
    for web in web_of(seen, tmp_path):
        assert web.client.get("/api/v1/models").json() == {
            "inUse": None, "releases": [], "faults": [],
        }  # fmt: skip
        releases = Releases(tmp_path / "releases")
        model = tiny(tmp_path / "m.onnx")
        gate = {"passed": True, "reason": "it predicts better", "gain_low": 0.25}
        about = Release("better", sha256_of(model), "shipped", "2026-01-01", {"pairs": 9}, gate)
        releases.add(about, model)
        (releases.folder / "broken").mkdir()
        (releases.folder / "broken" / "release.json").write_text("{")
        for record in (releases.promotion("better"), Refused(0, "edge-1", "too little memory")):
            said = NewRecord(seen.config.topics.releases, b"rollout", encode(record))
            seen.log.append([said])
        found = web.client.get("/api/v1/models").json()
        (one,) = found["releases"]
        assert (one["version"], one["pairs"], one["gainAtLeast"]) == ("better", 9, 0.25)
        assert one["refusedBy"] == ["edge-1: too little memory"]
        assert not one["inUse"]
        assert "broken" in found["faults"][0]
        assert any("edge-1 refused it" in text for text in get(web, "site")["warnings"])


def test_a_log_that_cannot_be_read_is_said(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rollouts: Rollouts) -> None:
        raise LogError("the broker is gone")

    monkeypatch.setattr(Rollouts, "models", broken)
    answer = web.client.get("/api/v1/models")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the broker is gone"


# --- who may look ----------------------------------------------------------------------------


@pytest.fixture
def guarded(seen: Seen, tmp_path: Path) -> Iterator[Web]:
    yield from web_of(seen, tmp_path, TOKEN)


def test_without_the_token_nothing_is_told(guarded: Web) -> None:
    for path in ("/", "/api/v1/sites", "/api/v1/openapi.json", "/page/app.js", "/nothing"):
        answer = guarded.client.get(path)
        assert answer.status_code == 401, path
        assert SITE not in answer.text
    for said in ("Bearer wrong", TOKEN[:-1], "Bearer "):
        headers = {"authorization": said}
        assert guarded.client.get("/api/v1/sites", headers=headers).status_code == 401
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert guarded.client.get("/api/v1/sites", headers=headers).status_code == 200


def test_a_browser_gives_it_once(guarded: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgal_stream.web.application._WRONG_TOKEN_S", 0.0)
    page = guarded.client.get("/", headers={"accept": "text/html"})
    assert page.url.path == "/login"
    wrong = guarded.client.post("/login", data={"token": "x"}, follow_redirects=False)
    assert "set-cookie" not in wrong.headers
    right = guarded.client.post("/login", data={"token": TOKEN}, follow_redirects=False)
    cookie = right.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert guarded.client.get("/api/v1/sites").status_code == 200


def test_no_web_site_reaches_a_page_on_loopback(web: Web) -> None:
    """A name of its own that leads to 127.0.0.1 is not ours."""
    for host, status in (("evil.example", 400), ("localhost:8080", 200), ("127.0.0.1", 200)):
        answer = web.client.get("/api/v1/sites", headers={"host": host})
        assert answer.status_code == status, host


def test_nothing_from_elsewhere_and_no_code_in_the_page(web: Web) -> None:
    answer = web.client.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    for name in (
        "index.html",
        "login.html",
        "app.js",
        "views.js",
        "correct.js",
        "parts.js",
        "style.css",
    ):
        text = web.client.get(f"/page/{name}").text
        assert "https://" not in text
        assert "innerHTML" not in text
        assert " style=" not in text


@pytest.mark.parametrize(
    ("host", "token", "may"),
    [
        ("127.0.0.1", None, True),
        ("localhost", None, True),
        ("::1", None, True),
        ("0.0.0.0", None, False),
        ("10.0.0.1", None, False),
        ("site.example", None, False),
        ("0.0.0.0", TOKEN, True),
        ("0.0.0.0", "short", False),
        ("127.0.0.1", "short", False),
    ],
)
def test_elsewhere_a_token_is_needed(host: str, token: str | None, may: bool) -> None:
    if may:
        Access.on(host, token)
    else:
        with pytest.raises(ConfigError):
            Access.on(host, token)
    assert is_loopback(host) == (host in ("127.0.0.1", "localhost", "::1"))


# --- anything that can be asked --------------------------------------------------------------


def test_whatever_is_asked_there_is_no_fault_of_ours(web: Web) -> None:
    """Schemathesis on the OpenAPI document; the stream of events, which does not end, left out."""
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", web.client.app)
    statuses: Counter[int] = Counter()

    def explored(strategy: Any) -> None:
        @settings(max_examples=60, suppress_health_check=list(HealthCheck))
        @given(case=strategy)
        def one(case: Any) -> None:
            answer = case.call()
            assert answer.status_code < 500, answer.text
            case.validate_response(answer, excluded_checks=_NOT_ASKED)
            statuses[answer.status_code] += 1

        one()

    for operation in schema.exclude(path="/api/v1/events").get_all_operations():
        assert isinstance(operation, Ok)
        explored(operation.ok().as_strategy())
    assert statuses[200] > 10
    assert statuses[404] > 10
