"""Corrections over the API: who may say them, what is refused, and what comes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.streams import run_to_end
from tests.support.waiting import wait_for
from tests.web.conftest import SITE, Seen, Web, web_of

TOKEN, VIEWER = "an-operator-of-the-site", "somebody-who-may-look"


def get(web: Web, path: str, **parameters: Any) -> Any:
    answer = web.client.get(f"/api/v1/{path}", params={"site": SITE, **parameters})
    assert answer.status_code == 200, answer.text
    return answer.json()


def say(web: Web, verdict: str, first: Any, second: Any, **headers: str) -> Any:
    body = {"verdict": verdict, "first": first, "second": second}
    return web.client.post("/api/v1/corrections", params={"site": SITE}, json=body, headers=headers)


def outcome(seen: Seen, web: Web, said: Any) -> dict[str, Any]:
    """What the tracker answers, once the page has read it."""
    assert said.status_code == 202, said.text
    name = said.json()["correctionId"]
    run_to_end(seen.log, seen.config, "associate")
    wait_for(lambda: get(web, "corrections", id=name)["items"], "the tracker's answer")
    (found,) = get(web, "corrections", id=name)["items"]
    return dict(found)


def people(web: Web, at_least: int) -> list[dict[str, Any]]:
    found = get(web, "identities", limit=200)["items"]
    return [one for one in found if one["sightings"] >= at_least and not one["leftWindow"]]


def test_two_identities_are_one_and_two_again(seen: Seen, web: Web) -> None:
    one, other = people(web, 2)[:2]
    named = {"identity": one["id"]}, {"identity": other["id"]}
    found = outcome(seen, web, say(web, "same", *named))
    assert found["refused"] is None
    assert found["saidBy"] == "web testclient"
    details = [get(web, "identity", id=each["id"]) for each in (one, other)]
    (kept,) = [d for d in details if d["sightings"]]
    (gone,) = [d for d in details if not d["sightings"]]
    assert gone["mergedInto"] == kept["identity"]["id"]
    assert len(kept["sightings"]) == one["sightings"] + other["sightings"]
    assert found["id"] in {event["correction"] for event in kept["events"]}
    found = outcome(seen, web, say(web, "different", *({"sightings": s} for s in _sides(found))))
    assert found["refused"] is None
    whose = [get(web, "search", sighting=side[0])["sighting"]["identity"] for side in _sides(found)]
    assert len(set(whose)) == 2
    line = json.loads(web.audit.read_text().splitlines()[-3])
    assert (line["action"], line["subject"]) == ("correct: different", found["id"])
    listed = get(web, "corrections", limit=1)
    assert listed["items"][0]["id"] == found["id"]
    older = get(web, "corrections", limit=1, cursor=listed["next"])
    assert older["items"][0]["verdict"] == "same"


def _sides(correction: dict[str, Any]) -> list[list[str]]:
    return [correction["first"], correction["second"]]


def test_what_the_tracker_cannot_obey_is_told(seen: Seen, web: Web) -> None:
    (one, *_) = people(web, 2)
    mine = [s["id"] for s in get(web, "identity", id=one["id"])["sightings"]]
    found = outcome(seen, web, say(web, "different", {"sightings": mine}, {"sightings": mine[:1]}))
    assert found["refused"] == "a sighting stands on both sides"


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ({"identity": "nobody"}, 404),
        ({"sightings": ["none"]}, 404),
        ({}, 422),
        ({"identity": "a", "sightings": ["b"]}, 422),
        ({"sightings": ["x"] * 1001}, 422),
        ({"sightings": [1]}, 422),
    ],
)
def test_what_names_nobody_is_refused_at_once(
    seen: Seen, web: Web, first: Any, status: int
) -> None:
    (one, *_) = people(web, 2)
    end = seen.log.end(seen.config.topics.embeddings, 0)
    answer = say(web, "same", first, {"identity": one["id"]})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert seen.log.end(seen.config.topics.embeddings, 0) == end


def test_a_sample_is_of_pairs_with_both_pictures(web: Web) -> None:
    found = get(web, "sample", n=5, seed=3)
    assert len(found) == 5
    assert found == get(web, "sample", n=5, seed=3)
    assert found != get(web, "sample", n=5, seed=4)
    rows = web.model.select("SELECT query, gallery FROM pair WHERE camera_a <> camera_b")
    assert {(p["query"], p["gallery"]) for p in found} <= {tuple(row) for row in rows}


@pytest.fixture
def guarded(seen: Seen, tmp_path: Path) -> Iterator[Web]:
    yield from web_of(seen, tmp_path, TOKEN, VIEWER)


def test_viewers_look_and_operators_correct(guarded: Web) -> None:
    for token, role, status in ((VIEWER, "viewer", 403), (TOKEN, "operator", 404)):
        told = {"authorization": f"Bearer {token}"}
        answer = guarded.client.get("/api/v1/visitor", headers=told)
        assert answer.json() == {"role": role}
        assert say(guarded, "same", {"identity": "x"}, {"identity": "y"}, **told).status_code == (
            status
        )
    assert say(guarded, "same", {"identity": "x"}, {"identity": "y"}).status_code == 401
    for token, status in ((VIEWER, 403), (TOKEN, 404)):
        guarded.client.cookies.clear()
        guarded.client.post("/login", data={"token": token})
        answer = say(guarded, "same", {"identity": "x"}, {"identity": "y"})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site", "origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1"}, 404),
        ({"origin": "http://127.0.0.1"}, 404),
        ({}, 404),
    ],
)
def test_no_other_web_site_corrects(web: Web, headers: dict[str, str], status: int) -> None:
    """A page that an operator happens to have open may not write on his behalf."""
    answer = say(web, "same", {"identity": "nobody"}, {"identity": "nobody"}, **headers)
    assert answer.status_code == status
