"""Types of optional arguments: an empty field of a form is an absent value."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

# Airflow forms and templates render an empty field as "" or "None".
OptionalText = Annotated[str, BeforeValidator(lambda value: "" if value in (None, "None") else value)]
EMPTY_IS_NONE = BeforeValidator(lambda value: None if value in ("", "None") else value)
OptionalInt = Annotated[int | None, EMPTY_IS_NONE]
OptionalFloat = Annotated[float | None, EMPTY_IS_NONE]
OptionalBool = Annotated[bool | None, EMPTY_IS_NONE]
