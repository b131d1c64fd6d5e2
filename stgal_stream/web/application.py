"""The web application: the API, the page that uses nothing else, and who is let in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHttpError

from stgal_stream.errors import DataError, ModelError, StgalError
from stgal_stream.web import answers
from stgal_stream.web.access import COOKIE, Access, AuditLog, is_from_elsewhere
from stgal_stream.web.api import Site, api_of, body_of
from stgal_stream.web.pictures import NoPictureError
from stgal_stream.web.questions import UnknownError
from stgal_stream.wire.fields import BadRecord

PAGE = Path(__file__).parent / "page"
_PROBLEM = "application/problem+json"
_MAX_FORM = 4096
_READING = ("GET", "HEAD", "OPTIONS")
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
            for code in (400, 401, 403, 404, 409, 413, 415, 422)
        },
    )
    app.include_router(api_of(site, audit))
    _add_page(app, access)
    _add_problems(app)
    _add_guard(app, access)
    return app


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
        form = parse_qs((await body_of(request, _MAX_FORM)).decode(errors="replace"))
        session = access.session(form.get("token", [""])[0])
        if session is None:
            await asyncio.sleep(_WRONG_TOKEN_S)
            return RedirectResponse("login?wrong", HTTPStatus.SEE_OTHER)
        answer = RedirectResponse("./", HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            COOKIE,
            session,
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
        path, headers = request.url.path, request.headers
        role = access.role(headers.get("authorization"), request.cookies.get(COOKIE))
        request.state.role = role
        if not access.knows_host(headers.get("host", "")):
            answer: Response = _problem(400, "this page does not go by that name")
        elif request.method not in _READING and is_from_elsewhere(headers):
            answer = _problem(403, "another web site may not do this")
        elif path not in _OPEN and role is None:
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

    @app.exception_handler(ModelError)
    @app.exception_handler(DataError)
    def cannot(request: Request, error: StgalError) -> JSONResponse:
        return _problem(409, str(error))

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
