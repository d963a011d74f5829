"""A programme's page: its text, sound and downloads, and saving what a person corrected."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from dags.common.settings import settings
from dags.plugins.desk.access import DATA_HEADERS, from_own_page_only, html, may_edit, may_read, may_write
from dags.plugins.desk.ranges import requested_range
from tasks.contract import InputRejected
from tasks.desk.page import describe, find_object, load_version, preview_cues
from tasks.desk.programmes import downloads
from tasks.desk.reviews import ReviewConflict, save_review
from tasks.pages.templates import render
from tasks.publishing.sound import SOUND_SUFFIX, SOUND_TYPE, WAVEFORM_SUFFIX, WAVEFORM_TYPE
from tasks.transcripts.reviews.draft import MAX_DRAFT_BYTES, DraftRejected, parse_draft

router = APIRouter(prefix="/programmes/{programme}/{digits}")


async def _body(request: Request) -> bytes:
    """Read a draft. FastAPI would parse it too, and a route that is not `async` cannot read it."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MAX_DRAFT_BYTES:
            raise HTTPException(413, f"A draft of more than {MAX_DRAFT_BYTES:,} bytes is not accepted.")
    return bytes(data)


DraftBody = Annotated[bytes, Depends(_body)]


@router.get("/", dependencies=[may_read])
def page(programme: str, digits: str, user: GetUserDep) -> Response:
    """Return the page. Its script loads `document`, `sound` and `waveform` beside it."""
    files = _found(downloads, programme, digits)
    names = {file.name for file in files.machine}
    return html(
        render(
            "dags.plugins.desk/programme.html.jinja",
            programme=programme,
            digits=digits,
            files=files,
            can_edit=may_edit(user),
            has_sound=f"{programme}{SOUND_SUFFIX}" in names,
        )
    )


@router.get("/document", dependencies=[may_read])
def document(programme: str, digits: str, review: int | None = None) -> Response:
    """Return the text as the page edits it; with `review`, as that review left it."""
    return JSONResponse(describe(_found(load_version, programme, digits, review)), headers=DATA_HEADERS)


@router.get("/sound", dependencies=[may_read])
def sound(programme: str, digits: str, request: Request) -> Response:
    """Return the sound, or the range of it that a browser asks for."""
    return _media(programme, digits, SOUND_SUFFIX, SOUND_TYPE, request)


@router.get("/waveform", dependencies=[may_read])
def waveform(programme: str, digits: str, request: Request) -> Response:
    """Return the peaks of the sound."""
    return _media(programme, digits, WAVEFORM_SUFFIX, WAVEFORM_TYPE, request)


@router.get("/files/{version}/{name}", dependencies=[may_read])
def download(programme: str, digits: str, version: str, name: str) -> Response:
    """Return one file of the `machine`'s or the `reviewed` version, to be saved."""
    files = _found(downloads, programme, digits)
    listed = {"machine": files.machine, "reviewed": files.reviewed}.get(version, ())
    file = next((file for file in listed if file.name == name), None)
    if file is None:
        raise HTTPException(404, f"There is no {name} of the {version} version.")
    headers = DATA_HEADERS | {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return StreamingResponse(find_object(file.uri).chunks(), media_type=file.media_type, headers=headers)


@router.post("/cues", dependencies=[may_read, from_own_page_only])
def cues(excerpt: DraftBody, language: str = "und", profile: str = "") -> Response:
    """Return the subtitles of an excerpt of a draft, with the limits that each breaks. Nothing is read or stored."""
    try:
        return JSONResponse(preview_cues(parse_draft(excerpt), language, profile), headers=DATA_HEADERS)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


@router.post("/reviews", dependencies=[*may_write])
def save(programme: str, digits: str, draft: DraftBody, user: GetUserDep) -> Response:
    """Save a draft as the next review, or return whose review came first."""
    key = f"{programme}/{digits}"
    try:
        saved = save_review(settings().transcripts, key, parse_draft(draft), author=user.get_name())
    except ReviewConflict as conflict:
        theirs = conflict.theirs
        answer = {"review": theirs.number, "author": theirs.author, "created_at": theirs.created_at.isoformat()}
        return JSONResponse(answer, status_code=409, headers=DATA_HEADERS)
    except DraftRejected as error:
        raise HTTPException(422, str(error)) from None
    except InputRejected as error:
        raise HTTPException(404, str(error)) from None
    return JSONResponse(describe(saved.version), headers=DATA_HEADERS)


def _found(load: Any, programme: str, digits: str, *values: Any) -> Any:
    try:
        return load(settings().transcripts, f"{programme}/{digits}", *values)
    except InputRejected as error:
        raise HTTPException(404, str(error)) from None


def _media(programme: str, digits: str, suffix: str, media_type: str, request: Request) -> Response:
    files = _found(downloads, programme, digits)
    file = next((file for file in files.machine if file.name == f"{programme}{suffix}"), None)
    if file is None:
        raise HTTPException(404, "This transcript was published without its sound.")
    found = find_object(file.uri)
    # The files of a transcript never change, and whoever logs out may keep hearing what was heard.
    headers = DATA_HEADERS | {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=86400"}
    wanted = requested_range(request.headers.get("range", ""), found.size)
    if wanted is None:
        return StreamingResponse(
            found.chunks(), media_type=media_type, headers=headers | {"Content-Length": str(found.size)}
        )
    if wanted.start >= found.size:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{found.size}"})
    headers |= {
        "Content-Range": f"bytes {wanted.start}-{wanted.stop - 1}/{found.size}",
        "Content-Length": str(len(wanted)),
    }
    return StreamingResponse(
        found.chunks(wanted.start, wanted.stop), status_code=206, media_type=media_type, headers=headers
    )
