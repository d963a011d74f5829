"""The list of transcripts: newest first, searched and filtered by the index."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Response

from dags.common.settings import settings
from dags.plugins.desk.access import html, may_read
from dags.plugins.desk.indexing import is_refreshing, refresh_soon
from tasks.contract import Misconfigured, Outcome
from tasks.desk.index import Filters, Page, Query, Reviewed, filters, search
from tasks.pages.formatting import phrase
from tasks.pages.templates import render

NAV_VIEW = {
    "name": "Transcripts",
    "href": "airscript/programmes/",
    "destination": "nav",
    "url_route": "transcripts",
    "nav_top_level": True,
}
PAGE_SIZE = 50
SCOPES = {"": "everywhere", "words": "in words said", "speaker": "by speaker", "name": "by name"}
CONFIDENCES = {
    "": ("any confidence", None, None),
    "low": ("below 0.7", None, 0.7),
    "middle": ("0.7 to 0.85", 0.7, 0.85),
    "high": ("above 0.85", 0.85, None),
}
REVIEWS = {
    "": "reviewed or not",
    Reviewed.NO: "not reviewed",
    Reviewed.YES: "reviewed",
    Reviewed.FINISHED: "all checked",
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")

router = APIRouter(prefix="/programmes")


@dataclass(frozen=True)
class Form:
    """The form above the list, as it comes in the URL. What cannot be a value is none."""

    q: str = ""
    scope: str = ""
    since: str = ""
    until: str = ""
    status: str = ""
    model: str = ""
    confidence: str = ""
    reviewed: str = ""
    page: int = 1

    @property
    def query(self) -> Query:
        _, at_least, at_most = CONFIDENCES.get(self.confidence, CONFIDENCES[""])
        return Query(
            **{self.scope if self.scope in SCOPES and self.scope else "anywhere": self.q},
            first_day=self.since if _DAY.fullmatch(self.since) else "",
            last_day=self.until if _DAY.fullmatch(self.until) else "",
            status=self.status,
            model=self.model,
            min_confidence=at_least,
            max_confidence=at_most,
            reviewed=Reviewed(self.reviewed) if self.reviewed in set(Reviewed) else None,
            page=self.page,
            page_size=PAGE_SIZE,
        )

    @property
    def values(self) -> dict[str, str]:
        """What filters, by field."""
        return {name: value for name, value in vars(self).items() if name != "page" and value}

    def at(self, page: int) -> str:
        """The link to another page of the same list."""
        return "?" + urlencode(self.values | ({"page": page} if page > 1 else {}))


@router.get("/", dependencies=[may_read])
def programmes(form: Annotated[Form, Depends()]) -> Response:
    """Return a page of the list."""
    refresh_soon()
    index = Path(settings().index)
    try:
        found: Page | None = search(index, form.query)
        choices = filters(index)
    except Misconfigured:  # it is being made for the first time
        found, choices = None, Filters((), (), 0)
    return html(
        render(
            "dags.plugins.desk/programmes.html.jinja",
            form=form,
            found=found,
            choices=choices,
            statuses=[("", "any status"), *((status, phrase(status)) for status in choices.statuses)],
            models=[("", "any model"), *((model, model) for model in choices.models)],
            scopes=SCOPES,
            confidences={value: label for value, (label, _, _) in CONFIDENCES.items()},
            reviews=REVIEWS,
            is_refreshing=is_refreshing(),
            done=Outcome.DONE,
        )
    )
