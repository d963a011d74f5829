"""Templates: what they escape, what they refuse, and that HTML comes from nowhere else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from tasks.pages.tables import Column, Table, figures, text, without_empty_columns
from tasks.pages.templates import render_macro

CHECKOUT = Path(__file__).parents[3]
ELEMENTS = "tasks.pages/elements.html.jinja"


def test_values_are_escaped_once() -> None:
    table = Table(text("<b>"), (("<i>&",),))
    drawn = render_macro(ELEMENTS, "table", content=table)
    assert "<th>&lt;b&gt;</th>" in drawn
    assert "<td>&lt;i&gt;&amp;</td>" in drawn


def test_a_missing_variable_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render_macro(ELEMENTS, "table")


def test_columns_without_a_value_are_left_out() -> None:
    table = without_empty_columns(text("a", "b") + figures("c"), [("1", "", "2"), ("", "", "3")])
    assert table == Table((Column("a"), Column("c", is_number=True)), (("1", "2"), ("", "3")))
    assert without_empty_columns(text("a"), []) == Table((), ())


def test_every_template_compiles_and_is_packaged() -> None:
    from jinja2 import Environment

    templates = [path for root in ("dags", "local", "tasks", "training") for path in (CHECKOUT / root).rglob("*.jinja")]
    assert len(templates) >= 10
    for path in templates:
        Environment(autoescape=True).parse(path.read_text("utf-8"))
        assert (path.parent / "__init__.py").is_file(), "package data lies in packages"


def test_html_is_built_by_templates_alone() -> None:
    tags = "a|b|body|code|div|h[1-6]|head|html|li|meta|p|rect|span|style|svg|table|td|text|th|tr|ul"
    literal = re.compile(rf"""["'(]\s*</?({tags})[ >\\]""")
    written = [
        f"{path.relative_to(CHECKOUT)}:{number}"
        for root in ("dags", "local", "tasks", "training")
        for path in (CHECKOUT / root).rglob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if literal.search(line)
    ]
    assert written == []


def test_jinja_is_imported_only_when_something_is_rendered() -> None:
    code = "import sys, tasks.night.steps.report; print('jinja2' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
