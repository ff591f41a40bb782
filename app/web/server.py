"""The page's server: Streamlit, and beside it a few routes of our own, for what must not pass through its memory.

``GET /runs/ID/NAME`` gives a run's file, with ranges, so that browsers can seek in clips; ``PUT /uploads`` takes a clip
and writes it to disk as it comes. A cookie that scripts cannot read tells visitors apart.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import anyio.to_thread
import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.jobs.limits import SIZE_LIMIT_MB
from app.jobs.store import PLAYER, JobStore
from app.jobs.worker import write_player
from app.web.common import VISITOR_COOKIE, close_queue, is_visitor, new_visitor, queue
from app.web.files import EXPORTS, FILES, existing
from app.web.uploads import Intake
from geometry.errors import InputError

PAGE = Path(__file__).resolve().parents[1] / "ui" / "page.py"
_PLACES = frozenset({"", "run", "explore", "calibrate", "compare"})
_YEAR_S = 365 * 24 * 3600
_PIECE_BYTES = 1 << 20
_EXPORT_LIMIT_S = 300
_making = threading.Lock()  # exports are made one at a time: they are rare, and take memory


def build() -> Any:
    """The ASGI application; ``run`` on it serves it."""
    import app.web.site  # noqa: F401 - read now, so that the first visitor does not wait for it

    store = queue().store
    return st.App(
        PAGE,
        lifespan=_lifespan,
        routes=[
            Route("/runs/{job_id}/{name}", partial(_run_file, store), methods=["GET"]),
            Route("/uploads", partial(_take_upload, store), methods=["PUT"]),
        ],
        middleware=[Middleware(VisitorCookie)],
        on_script_error=_tell,
    )


def _tell(error: Exception) -> bool:
    """What nobody foresaw: the details to the log, a plain word to the visitor."""
    traceback.print_exception(error)
    st.error(
        "Something went wrong on this page. Your runs go on; reload the page. The server's log has the details.",
        icon=":material/error:",
    )
    return True


@asynccontextmanager
async def _lifespan(app: Any) -> AsyncIterator[None]:
    """The queue works from the first moment: runs that wait from an earlier server need no visitor to go on."""
    yield
    close_queue()


# -- a run's files ----------------------------------------------------------------------------------------------------


async def _run_file(store: JobStore, request: Request) -> Response:
    """A file of a run, by names that are known beforehand; ``?download`` saves it instead of showing it."""
    job_id, name = request.path_params["job_id"], request.path_params["name"]
    try:
        results = store.results(job_id)
        found = await anyio.to_thread.run_sync(_file, results, name)
    except InputError as error:
        return JSONResponse({"error": str(error)}, status_code=404)
    kind = FILES.get(name, "text/plain; charset=utf-8")
    shown = "attachment" if "download" in request.query_params else "inline"
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox", "Cache-Control": "no-cache"}
    return FileResponse(found, media_type=kind, filename=found.name, content_disposition_type=shown, headers=headers)


def _file(results: Path, name: str) -> Path:
    """The file, made first where it is another form of the record. Raises InputError where there is none."""
    found = existing(results / name) if name in FILES else None
    if found is not None:
        return found
    if name == PLAYER:
        with _making:
            return write_player(results)
    if name not in EXPORTS:
        raise InputError("there is no such file")
    made = results / "exports" / name
    with _making:
        if not made.is_file():
            _export(results, EXPORTS[name])
    return made


def _export(results: Path, form: str) -> None:
    """The record in another form, by a process of its own: what it takes of memory is given back."""
    command = [sys.executable, "-m", "app.cli", "export", str(results), "--format", form]
    command += ["--out", str(results / "exports")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_EXPORT_LIMIT_S, check=False)
    if done.returncode:
        raise InputError((done.stderr.strip().splitlines() or ["the record cannot be given in this form"])[-1])


# -- uploads ----------------------------------------------------------------------------------------------------------


async def _take_upload(store: JobStore, request: Request) -> Response:
    """Writes a clip to disk as it comes, never more of it than allowed; answers with its token."""
    if request.headers.get("x-roadlens") != "upload" or not is_visitor(request.cookies.get(VISITOR_COOKIE)):
        # A header of our own cannot be sent by another site's page without asking first, and nobody here says yes.
        return JSONResponse({"error": "uploads come from the page only"}, status_code=403)
    too_large = JSONResponse({"error": f"this clip is over {SIZE_LIMIT_MB} MB"}, status_code=413)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > SIZE_LIMIT_MB << 20:
        return too_large
    try:
        intake = Intake(store.uploads)
    except InputError as error:
        return JSONResponse({"error": str(error)}, status_code=507)
    try:
        piece = bytearray()
        async for part in request.stream():
            piece += part
            if len(piece) >= _PIECE_BYTES:
                await anyio.to_thread.run_sync(intake.write, bytes(piece))
                piece.clear()
        await anyio.to_thread.run_sync(intake.write, bytes(piece))
        path = intake.finish()
    except InputError as error:
        return JSONResponse({"error": str(error)}, status_code=415)
    except ClientDisconnect:
        return JSONResponse({"error": "the upload broke off"}, status_code=400)
    finally:
        intake.close()
    return JSONResponse({"token": path.name}, status_code=201)


# -- visitors ---------------------------------------------------------------------------------------------------------


class VisitorCookie:
    """Gives every browser a random token when it first loads the page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: passes everything on; adds the cookie to documents asked for without one."""
        if scope["type"] != "http" or scope["path"].strip("/") not in _PLACES or is_visitor(_cookie(scope)):
            await self.app(scope, receive, send)
            return
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = f"{VISITOR_COOKIE}={new_visitor()}; Path=/; Max-Age={_YEAR_S}; HttpOnly; SameSite=Lax{secure}"

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("Set-Cookie", cookie)
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def _cookie(scope: Scope) -> str | None:
    given = next((value for name, value in scope["headers"] if name == b"cookie"), b"")
    morsel = SimpleCookie(given.decode("latin-1")).get(VISITOR_COOKIE)
    return morsel.value if morsel else None
