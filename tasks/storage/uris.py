"""URIs of objects: `file:///path`, percent-encoded (RFC 8089), or `s3://bucket/key` with the key unencoded."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote_to_bytes


def join(prefix: str, *parts: str) -> str:
    """Return `prefix/part/part`. Parts are not encoded: only for names of our own; take other names from listings."""
    return "/".join([prefix.rstrip("/"), *parts])


def parent(uri: str) -> str:
    """Return the folder of `uri`."""
    return uri.rstrip("/").rsplit("/", 1)[0]


def file_uri(path: Path | str) -> str:
    """Return the `file://` URI of a path, whatever bytes are in its name."""
    return Path(path).absolute().as_uri()


def path_of(uri: str) -> Path:
    """Return the path of a `file://` URI."""
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))))


def canonical(uri: str) -> str:
    """Return the one form of a URI: `.`, `..`, `//` and needless escapes of `file://` resolved. A key is its only form.

    For every URI that comes from outside, before it is judged or compared.
    """
    if not uri.startswith("file://"):
        return uri
    return file_uri("/" + posixpath.normpath(os.fspath(path_of(uri))).lstrip("/"))


def is_inside(uri: str, root: str) -> bool:
    """Whether a canonical URI lies below `root` and no symbolic link leads out of it."""
    if uri.startswith("file://") and root.startswith("file://"):
        folder = path_of(root).resolve()
        try:
            path = path_of(uri).resolve()
        except (OSError, ValueError, RuntimeError):  # a loop of links, a zero byte
            return False
        return path != folder and path.is_relative_to(folder)
    name = uri.removeprefix(root.rstrip("/") + "/")
    return name != uri and not {"", ".", ".."} & set(name.split("/"))


def name_of(uri: str) -> str:
    """Return the last segment of a URI, decoded: percent-decoded for `file://`, unchanged for `s3://`."""
    name = uri.rstrip("/").rsplit("/", 1)[-1]
    return os.fsdecode(unquote_to_bytes(name)) if uri.startswith("file://") else name


def is_hidden(uri: str, root: str) -> bool:
    """Whether the name of an object, or of a folder between it and `root`, begins with a dot."""
    return any(part.startswith(".") for part in uri.removeprefix(root.rstrip("/")).split("/"))


def quoted_name(name: str, prefix: str) -> str:
    """Encode `name` as a segment of a URI under `prefix`: percent-encoded for `file://`, unchanged for `s3://`."""
    return quote(name) if prefix.startswith("file://") else name


def in_form(path: str, form: Literal["NFC", "NFD"], *, is_encoded: bool) -> str:
    """Return a path, percent-encoded or not, with its letters composed (NFC) or decomposed (NFD).

    macOS decomposes the names that it writes: its "é" has other bytes than that of Linux and Windows.
    """
    if path.isascii() and not (is_encoded and "%" in path):
        return path
    name = os.fsdecode(unquote_to_bytes(path)) if is_encoded else path
    name = unicodedata.normalize(form, name)
    return quote(os.fsencode(name)) if is_encoded else name
