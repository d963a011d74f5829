"""URIs from outside: one canonical form, and no way out of the root."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import storage


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///inbox/a.wav", "file:///inbox/a.wav"),
        ("file:///inbox/./a.wav", "file:///inbox/a.wav"),
        ("file:///inbox//a.wav", "file:///inbox/a.wav"),
        ("file:////inbox/a.wav", "file:///inbox/a.wav"),
        ("file:///inbox/%2e%2e/a.wav", "file:///a.wav"),
        ("file:///inbox/.%2E/a.wav", "file:///a.wav"),
        ("file:///inbox/%2e%2e%2fa.wav", "file:///a.wav"),
        ("file:///inbox/..%2F..%2Fa.wav", "file:///a.wav"),
        ("file:///inbox/%61.wav", "file:///inbox/a.wav"),
        ("file:///inbox/%252e%252e/a.wav", "file:///inbox/%252e%252e/a.wav"),
        ("file:///inbox/a%20b%FF.wav", "file:///inbox/a%20b%FF.wav"),
        ("s3://bucket/inbox/%2e%2e/a.wav", "s3://bucket/inbox/%2e%2e/a.wav"),
    ],
)
def test_canonical(uri: str, expected: str) -> None:
    assert storage.canonical(uri) == expected
    assert storage.canonical(expected) == expected


@pytest.mark.parametrize(
    "name",
    [
        "../x.wav",
        "%2e%2e/x.wav",
        "a/../../x.wav",
        "a/%2E./%2e%2E/x.wav",
        "..%2fx.wav",
        "%2e%2e%2f%2e%2e%2fetc/passwd",
        ".",
    ],
)
def test_dots_lead_out_however_they_are_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "inbox").mkdir()
    root = storage.file_uri(tmp_path / "inbox")
    assert not storage.is_inside(storage.canonical(f"{root}/{name}"), root)
    assert storage.is_inside(storage.canonical(f"{root}/a/../x.wav"), root)


def test_links_lead_out(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (tmp_path / "other").mkdir()
    (inbox / "link").symlink_to(tmp_path / "other")
    (inbox / "loop").symlink_to("loop")
    root = storage.file_uri(inbox)
    assert not storage.is_inside(f"{root}/link/x.wav", root)
    assert not storage.is_inside(f"{root}/loop/x.wav", root)
    assert not storage.is_inside(f"{root}/%00.wav", root)
    assert not storage.is_inside(f"{root}box/x.wav", root)
    (tmp_path / "alias").symlink_to(inbox)
    assert storage.is_inside(f"{root}/x.wav", storage.file_uri(tmp_path / "alias"))


@pytest.mark.parametrize(
    ("uri", "inside"),
    [
        ("s3://bucket/inbox/a.wav", True),
        ("s3://bucket/inbox/%2e%2e/a.wav", True),  # a key's own characters: S3 does not decode it
        ("s3://bucket/inbox/../a.wav", False),
        ("s3://bucket/inbox/./a.wav", False),
        ("s3://bucket/inbox//a.wav", False),
        ("s3://bucket/inbox", False),
        ("s3://bucket/inboxes/a.wav", False),
        ("s3://other/inbox/a.wav", False),
    ],
)
def test_keys(uri: str, inside: bool) -> None:
    assert storage.is_inside(uri, "s3://bucket/inbox/") is inside
