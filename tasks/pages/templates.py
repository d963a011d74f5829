"""Render jinja2 templates: HTML and SVG with autoescape, Markdown (`*.md.jinja`) without.

A template is named `package/file`, such as `tasks.pages/base.html.jinja`, so that a template of one package can extend
that of another.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from tasks.pages import formatting

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def render(name: str, /, **values: object) -> str:
    """Render the template `name`. A variable that it does not get is an error."""
    return _environment().get_template(name).render(**values)


def render_macro(name: str, macro: str, /, **values: object) -> Markup:
    """Render one macro of the template `name`, as markup that other templates do not escape again."""
    module = _environment().get_template(name).module
    rendered: Markup = getattr(module, macro)(**values)
    return rendered


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # lazily: a cached step renders nothing

    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=lambda name: not (name or "").endswith(".md.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "clock": formatting.clock,
        "data_uri": formatting.data_uri,
        "number": formatting.number,
        "percent": formatting.percent,
        "phrase": formatting.phrase,
        "share": formatting.share,
    }
    return environment


def _source(name: str) -> str:
    package, _, file = name.partition("/")
    return files(package).joinpath(file).read_text("utf-8")
