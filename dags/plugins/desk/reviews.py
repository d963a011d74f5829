"""What reviews say: the error rate by people, and words that the recogniser did not know."""

from __future__ import annotations

from pathlib import Path

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel

from dags.common.settings import settings
from dags.plugins.desk.access import html, may_edit, may_read, may_write
from dags.plugins.desk.indexing import is_refreshing, refresh_soon
from tasks.contract import InputRejected
from tasks.desk.error_rates import by_genre, by_model, by_speaker, counted
from tasks.desk.index import latest_lines, suggest
from tasks.desk.vocabulary import accept, read_channel_vocabulary
from tasks.pages.templates import render
from tasks.transcripts.reviews.draft import DraftRejected

MAX_GROUPS = 30

router = APIRouter(prefix="/reviews")


class Phrase(BaseModel):
    """A word or name that a person accepts."""

    phrase: str


@router.get("/", dependencies=[may_read])
def page(user: GetUserDep) -> Response:
    """Return the page, from the search index."""
    refresh_soon()
    index = Path(settings().index)
    lines = latest_lines(index)
    finished = counted(lines)
    groups = {"By model": by_model(finished), "By genre": by_genre(finished), "By speaker": by_speaker(finished)}
    return html(
        render(
            "dags.plugins.desk/reviews.html.jinja",
            n_reviewed=len(counted(lines, only_finished=False)),
            n_finished=len(finished),
            groups={title: rates[:MAX_GROUPS] for title, rates in groups.items()},
            words=suggest(index, read_channel_vocabulary(settings().inbox)),
            is_refreshing=is_refreshing(),
            can_edit=may_edit(user),
        )
    )


@router.post("/vocabulary", dependencies=[*may_write])
def accept_word(word: Phrase) -> Response:
    """Add a word to the inbox's vocabulary. The next night expects it."""
    try:
        accept(settings().inbox, word.phrase)
    except (DraftRejected, InputRejected) as error:
        raise HTTPException(422, str(error)) from None
    return Response(status_code=204)
