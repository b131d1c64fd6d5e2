"""The API: ``/api/v1``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from stgal_stream.web import answers
from stgal_stream.web.access import OPERATOR, AuditLog
from stgal_stream.web.corrections import Corrections
from stgal_stream.web.live import Live
from stgal_stream.web.pictures import Crops, Embedder
from stgal_stream.web.questions import Questions, time_s
from stgal_stream.web.rollouts import Rollouts
from stgal_stream.web.search import Search

SiteName = Annotated[
    str, Query(alias="site", min_length=1, max_length=256, description="A site's name")
]
Name = Annotated[str, Query(min_length=1, max_length=512)]
MaybeName = Annotated[str | None, Query(min_length=1, max_length=512)]
When = Annotated[str | None, Query(max_length=64, description="RFC 3339 or Unix seconds")]
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=600, description="`next` of the page before")]


Looked = Callable[[Request, str, str, str], None]


class Site:
    """What the application works with."""

    def __init__(
        self,
        questions: Questions,
        search: Callable[[], Search | None],
        crops: Crops,
        embedder: Embedder,
        live: Live,
        rollouts: Rollouts,
        corrections: Corrections,
        state: Callable[[], tuple[bool, str | None]],
        max_upload_bytes: int,
    ) -> None:
        self.questions = questions
        self.search = search
        self.crops = crops
        self.embedder = embedder
        self.live = live
        self.rollouts = rollouts
        self.corrections = corrections
        self.state = state
        self.max_upload_bytes = max_upload_bytes


def api_of(site: Site, audit: AuditLog) -> APIRouter:
    """All of ``/api/v1``."""
    api = APIRouter(prefix="/api/v1")

    def looked(request: Request, action: str, where: str, subject: str) -> None:
        audit.note(_who(request), action, where, subject)

    _add_sites(api, site, looked)
    _add_people(api, site, looked)
    _add_pictures(api, site, looked)
    _add_search(api, site, looked)
    _add_corrections(api, site, looked)
    _add_models(api, site, looked)
    _add_events(api, site)
    return api


def _add_sites(api: APIRouter, site: Site, looked: Looked) -> None:
    ask = site.questions

    @api.get("/visitor")
    def visitor(request: Request) -> answers.Visitor:
        """What you may do here."""
        return answers.Visitor(role=request.state.role)

    @api.get("/sites")
    def sites() -> list[answers.SiteName]:
        """All sites that have sent something."""
        return ask.sites()

    @api.get("/site")
    def one_site(site_name: SiteName) -> answers.Site:
        """A site now: cameras, camera pairs, rates, and what is wrong."""
        found = ask.site(site_name, *site.state())
        warning = site.rollouts.warning()
        if warning is not None:
            found.warnings.append(warning)
        return found

    @api.get("/models")
    def models() -> answers.Models:
        """Releases of the extractor, newest first."""
        return site.rollouts.models()

    @api.get("/pair")
    def pair(
        request: Request,
        site_name: SiteName,
        first: Name,
        second: Name,
    ) -> answers.PairDetail:
        """Two cameras: travel times and accepted pairs."""
        found = ask.pair(site_name, first, second)
        looked(request, "pair", site_name, f"{first} {second}")
        return found


def _add_people(api: APIRouter, site: Site, looked: Looked) -> None:
    ask = site.questions

    @api.get("/identities")
    def identities(
        site_name: SiteName,
        camera: MaybeName = None,
        since: When = None,
        until: When = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> answers.Page[answers.Identity]:
        """Identities that were seen in a time, newest first."""
        from_s, to_s = time_s(since, 0.0), time_s(until, float("inf"))
        return ask.identities(site_name, camera, from_s, to_s, cursor, limit)

    @api.get("/identity")
    def identity(
        request: Request,
        site_name: SiteName,
        identity_id: Annotated[str, Query(alias="id", min_length=1, max_length=512)],
    ) -> answers.IdentityDetail:
        """One identity: its sightings, and the evidence of each join."""
        found = ask.identity(site_name, identity_id)
        looked(request, "identity", site_name, identity_id)
        return found

    @api.get("/sightings")
    def sightings(
        site_name: SiteName,
        camera: Name,
        since: When = None,
        until: When = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> answers.Page[answers.Sighting]:
        """Sightings of a camera, newest first."""
        from_s, to_s = time_s(since, 0.0), time_s(until, float("inf"))
        return ask.sightings(site_name, camera, from_s, to_s, cursor, limit)


def _add_pictures(api: APIRouter, site: Site, looked: Looked) -> None:
    ask = site.questions

    @api.get("/crop", response_class=Response, responses={200: {"content": {"image/*": {}}}})
    def crop(
        request: Request,
        site_name: SiteName,
        sighting: Name,
    ) -> Response:
        """The best crop of a sighting, as its camera sent it."""
        picture, kind = site.crops.of(ask.sighting_row(site_name, sighting))
        looked(request, "crop", site_name, sighting)
        return Response(picture, media_type=kind, headers={"Cache-Control": "private, no-store"})


def _add_search(api: APIRouter, site: Site, looked: Looked) -> None:
    @api.get("/search")
    def search_like(
        request: Request,
        site_name: SiteName,
        sighting: Name,
        limit: Limit = 50,
    ) -> answers.SearchResult:
        """Sightings that look like a known one, with what the travel time says."""
        found = _searcher(site).by_sighting(site_name, sighting, limit)
        looked(request, "search", site_name, sighting)
        return found

    @api.post(
        "/search",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    kind: {"schema": {"type": "string", "format": "binary"}}
                    for kind in ("image/jpeg", "image/png", "image/webp")
                },
            }
        },
    )
    async def search_picture(
        request: Request,
        site_name: SiteName,
        limit: Limit = 50,
    ) -> answers.SearchResult:
        """Sightings that look like the picture in the body: one person, cut out."""
        if not request.headers.get("content-type", "").startswith("image/"):
            raise HTTPException(
                415, "send the picture itself, as image/jpeg, image/png, image/webp"
            )
        picture = await body_of(request, site.max_upload_bytes)

        def find() -> answers.SearchResult:
            extractor, vector = site.embedder.embed(picture)
            return _searcher(site).by_vector(site_name, extractor, vector, limit)

        found = await run_in_threadpool(find)
        looked(request, "search by picture", site_name, hashlib.sha256(picture).hexdigest()[:16])
        return found


def _add_models(api: APIRouter, site: Site, looked: Looked) -> None:
    @api.post("/models/promote", status_code=202, dependencies=[Depends(_operator)])
    def promote(request: Request, version: Name) -> answers.Promoted:
        """Puts a release in use, whatever the gate said; daemons change over by themselves."""
        site.rollouts.promote(version)
        looked(request, "promote", "", version)
        return answers.Promoted(version=version)

    @api.post("/models/rollback", status_code=202, dependencies=[Depends(_operator)])
    def roll_back(request: Request) -> answers.Promoted:
        """Goes back to what was in use before."""
        version = site.rollouts.roll_back()
        looked(request, "roll back", "", version or "configured")
        return answers.Promoted(version=version)


def _operator(request: Request) -> None:
    """
    Raises:
        HTTPException: a viewer asks.
    """
    if request.state.role != OPERATOR:
        raise HTTPException(403, "your token lets you look, not correct")


def _add_corrections(api: APIRouter, site: Site, looked: Looked) -> None:
    @api.post("/corrections", status_code=202, dependencies=[Depends(_operator)])
    def correct(request: Request, site_name: SiteName, word: answers.Word) -> answers.Said:
        """Says that people are one, or two: goes into the log, and the tracker obeys."""
        name = site.corrections.say(site_name, word, f"web {_who(request)}")
        looked(request, f"correct: {word.verdict}", site_name, name)
        return answers.Said(correction_id=name)

    @api.get("/corrections")
    def corrections(
        site_name: SiteName,
        correction: Annotated[str | None, Query(alias="id", min_length=1, max_length=64)] = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> answers.Page[answers.Correction]:
        """What operators said and what became of it, newest first."""
        return site.corrections.said(site_name, correction, cursor, limit)

    @api.get("/sample")
    def sample(
        request: Request,
        site_name: SiteName,
        n: Annotated[int, Query(ge=1, le=500)] = 50,
        seed: Annotated[int, Query(ge=0, le=2**31)] = 0,
    ) -> list[answers.AcceptedPair]:
        """Accepted pairs across cameras at random: to be checked by eye."""
        found = site.corrections.sample(site_name, n, seed)
        looked(request, "sample", site_name, f"{len(found)} pairs, seed {seed}")
        return found


def _add_events(api: APIRouter, site: Site) -> None:
    @api.get(
        "/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def events(
        site_name: SiteName,
        after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
        last_event_id: Annotated[str | None, Header(max_length=32)] = None,
    ) -> StreamingResponse:
        """Identity events as they are committed (server-sent events)."""
        if last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit():
            after = min(int(last_event_id), 2**62)
        return StreamingResponse(
            site.live.stream(site_name, after),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )


def _searcher(site: Site) -> Search:
    found = site.search()
    if found is None:
        raise HTTPException(409, "the vectors are still being loaded; ask again in some seconds")
    return found


async def body_of(request: Request, limit: int) -> bytes:
    """A request's body.

    Raises:
        HTTPException: it has more bytes than the limit.
    """
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > limit:
            raise HTTPException(413, f"more than {limit} bytes")
    return bytes(found)


def _who(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"
