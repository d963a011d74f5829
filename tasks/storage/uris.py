"""URIs of objects: `file:///path`, percent-encoded as RFC 8089 asks, or `s3://bucket/key` with the key as it is."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes


def join(prefix: str, *parts: str) -> str:
    """`prefix/part/part`. Parts are names of ours, never names from outside: those come from listings."""
    return "/".join([prefix.rstrip("/"), *parts])


def parent(uri: str) -> str:
    """The folder that holds `uri`."""
    return uri.rstrip("/").rsplit("/", 1)[0]


def file_uri(path: Path | str) -> str:
    """The `file://` URI of a path, whatever bytes its name holds."""
    return Path(path).absolute().as_uri()


def path_of(uri: str) -> Path:
    """The path behind a `file://` URI."""
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))))


def name_of(uri: str) -> str:
    """The last part of a URI as a person would write it: decoded for `file://`, as it is for `s3://`."""
    name = uri.rstrip("/").rsplit("/", 1)[-1]
    return os.fsdecode(unquote_to_bytes(name)) if uri.startswith("file://") else name


def is_hidden(uri: str, root: str) -> bool:
    """Whether an object, or a folder between it and `root`, has a name that begins with a dot."""
    return any(part.startswith(".") for part in uri.removeprefix(root.rstrip("/")).split("/"))


def quoted_name(name: str, prefix: str) -> str:
    """`name` as a part of a URI under `prefix`: percent-encoded for `file://`, as it is for `s3://`."""
    return quote(name) if prefix.startswith("file://") else name
