"""The web application: ``/api/v1`` and the page that uses nothing else."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHttpError

from stgal_stream.errors import StgalError
from stgal_stream.web import answers
from stgal_stream.web.access import COOKIE, Access, AuditLog
from stgal_stream.web.live import Live
from stgal_stream.web.pictures import Crops, Embedder, NoPictureError
from stgal_stream.web.questions import Questions, UnknownError, time_s
from stgal_stream.web.rollouts import Rollouts
from stgal_stream.web.search import Search
from stgal_stream.wire.fields import BadRecord

PAGE = Path(__file__).parent / "page"
_PROBLEM = "application/problem+json"
_MAX_FORM = 4096
_WRONG_TOKEN_S = 1.0  # so long a guess takes
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_OPEN = {"/login", "/page/style.css", "/page/vendor/pico.min.css"}

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
        state: Callable[[], tuple[bool, str | None]],
        max_upload_bytes: int,
    ) -> None:
        self.questions = questions
        self.search = search
        self.crops = crops
        self.embedder = embedder
        self.live = live
        self.rollouts = rollouts
        self.state = state
        self.max_upload_bytes = max_upload_bytes


def application(site: Site, access: Access, audit: AuditLog, version: str) -> FastAPI:
    """The application."""
    app = FastAPI(
        title="stgal-stream",
        version=version,
        description="People on a site: who is where, how they move, where somebody was.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses={
            code: {"model": answers.Problem, "content": {_PROBLEM: {}}}
            for code in (400, 401, 404, 409, 413, 415, 422)
        },
    )
    app.include_router(_api(site, audit))
    _add_page(app, access)
    _add_problems(app)
    _add_guard(app, access)
    return app


# --- the API ---------------------------------------------------------------------------------


def _api(site: Site, audit: AuditLog) -> APIRouter:
    api = APIRouter(prefix="/api/v1")

    def looked(request: Request, action: str, where: str, subject: str) -> None:
        audit.note(_who(request), action, where, subject)

    _add_sites(api, site, looked)
    _add_people(api, site, looked)
    _add_pictures(api, site, looked)
    _add_search(api, site, looked)
    _add_events(api, site)
    return api


def _add_sites(api: APIRouter, site: Site, looked: Looked) -> None:
    ask = site.questions

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
        """Releases of the extractor, newest first; `stgal-stream models` promotes them."""
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
        picture = await _body(request, site.max_upload_bytes)

        def find() -> answers.SearchResult:
            extractor, vector = site.embedder.embed(picture)
            return _searcher(site).by_vector(site_name, extractor, vector, limit)

        found = await run_in_threadpool(find)
        looked(request, "search by picture", site_name, hashlib.sha256(picture).hexdigest()[:16])
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


async def _body(request: Request, limit: int) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > limit:
            raise HTTPException(413, f"more than {limit} bytes")
    return bytes(found)


def _who(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"


# --- the page --------------------------------------------------------------------------------


def _add_page(app: FastAPI, access: Access) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/login", include_in_schema=False)
    def login_page() -> FileResponse:
        return FileResponse(PAGE / "login.html", headers={"Cache-Control": "no-cache"})

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        form = parse_qs((await _body(request, _MAX_FORM)).decode(errors="replace"))
        if not access.is_token(form.get("token", [""])[0]):
            await asyncio.sleep(_WRONG_TOKEN_S)
            return RedirectResponse("login?wrong", HTTPStatus.SEE_OTHER)
        answer = RedirectResponse("./", HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            COOKIE,
            access.session,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    app.mount("/page", StaticFiles(directory=PAGE), name="page")


# --- guards and errors -----------------------------------------------------------------------


def _add_guard(app: FastAPI, access: Access) -> None:
    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.url.path
        if not access.knows_host(request.headers.get("host", "")):
            answer: Response = _problem(400, "this page does not go by that name")
        elif path not in _OPEN and not access.admits(
            request.headers.get("authorization"), request.cookies.get(COOKIE)
        ):
            if path == "/" and "text/html" in request.headers.get("accept", ""):
                answer = RedirectResponse("login", HTTPStatus.SEE_OTHER)
            else:
                answer = _problem(401, "Authorization: Bearer TOKEN is needed")
                answer.headers["WWW-Authenticate"] = "Bearer"
        else:
            answer = await _tagged(request, await call(request))
        answer.headers.update(_HEADERS)
        return answer


async def _tagged(request: Request, answer: Response) -> Response:
    """Adds an ETag to JSON that was asked for, and answers 304 where the asker has it already."""
    kind = answer.headers.get("content-type", "")
    if request.method != "GET" or answer.status_code != 200 or kind != "application/json":
        return answer
    body = b"".join([chunk async for chunk in answer.body_iterator])  # type: ignore[attr-defined]
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, kind)


def _problem(status: int, detail: str) -> JSONResponse:
    body = answers.Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(body.model_dump(by_alias=True), status, media_type=_PROBLEM)


def _add_problems(app: FastAPI) -> None:
    @app.exception_handler(UnknownError)
    def unknown(request: Request, error: UnknownError) -> JSONResponse:
        return _problem(404, str(error))

    @app.exception_handler(NoPictureError)
    def no_picture(request: Request, error: NoPictureError) -> JSONResponse:
        return _problem(404 if request.method == "GET" else 422, str(error))

    @app.exception_handler(StgalError)
    def failed(request: Request, error: StgalError) -> JSONResponse:
        return _problem(503, str(error))

    @app.exception_handler(BadRecord)
    def bad(request: Request, error: BadRecord) -> JSONResponse:
        return _problem(422, error.detail)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        said = "; ".join(_said(each) for each in error.errors())
        return _problem(422, said)

    @app.exception_handler(AnyHttpError)
    def http(request: Request, error: AnyHttpError) -> JSONResponse:
        return _problem(error.status_code, str(error.detail))


def _said(error: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"][1:])
    return f"{where}: {error['msg']}"
