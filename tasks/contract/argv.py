"""Convert argument models to argument vectors and back. The command line is the same in a pod, a shell and a test."""

from __future__ import annotations

import argparse
import types
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tasks.contract.outcomes import Misconfigured, Reason

Model = TypeVar("Model", bound=BaseModel)


def flag(field: str) -> str:
    """Return the flag of a field: `--learning-rate` for `learning_rate`."""
    return "--" + field.replace("_", "-")


def to_argv(arguments: BaseModel) -> list[str]:
    """Return the flags that reproduce `arguments`. Defaults are left out; a sequence repeats its flag.

    Flag and value are one word, `--flag=value`, so that a value may begin with a dash.
    """
    argv = []
    for name in type(arguments).model_fields:
        value = getattr(arguments, name)
        if value == type(arguments).model_fields[name].get_default(call_default_factory=True):
            continue
        values = value if isinstance(value, tuple) else (value,)
        argv += [f"{flag(name)}={_word(item)}" for item in values]
    return argv


def from_argv(model: type[Model], argv: list[str], prog: str) -> Model:
    """Parse `argv` into `model`.

    Raises:
        Misconfigured: a flag is unknown or missing, or its value is invalid. The message names the flag.
    """
    parser = _Parser(prog=prog, description=model.__doc__, allow_abbrev=False)
    for name, field in model.model_fields.items():
        parser.add_argument(
            flag(name),
            dest=name,
            required=field.is_required(),
            action="append" if _is_sequence(field) else "store",
            default=argparse.SUPPRESS,
            metavar=_metavar(field),
            help=_help(field),
        )
    values = vars(parser.parse_args(argv))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{flag(str(e['loc'][0])) if e['loc'] else prog}: {e['msg']}" for e in error.errors())
        raise _misconfigured(prog, problems) from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _misconfigured(self.prog, message)


def _misconfigured(prog: str, message: str) -> Misconfigured:
    return Misconfigured(message, reason=Reason.INVALID_ARGUMENT, subject=prog, next_step=f"see {prog} --help")


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _is_sequence(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _metavar(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
    if _is_sequence(field):
        annotation = get_args(annotation)[0]
    return str(getattr(annotation, "__name__", annotation)).upper().replace("STR", "TEXT")


def _help(field: FieldInfo) -> str:
    default = "" if field.is_required() or field.default in (None, "", ()) else f" (default {_word(field.default)})"
    return ((field.description or "") + default).replace("%", "%%")
