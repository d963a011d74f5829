"""Where the desk finds things below the prefix of transcripts.

<transcripts>/<programme>/<key12>/                         the machine's transcript, see `tasks.publishing`
                                 /reviews/0001.json        a review
                                 /reviews/0001/            every format of the reviewed version, manifest last
             /_reviews/2026-11-30/index.jsonl              a line for each review of that day, see `review_log`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from tasks import storage
from tasks.contract import InputRejected, Reason
from tasks.publishing.transcripts import KEY_DIGITS, MANIFEST_NAME
from tasks.storage.uris import quoted_name

REVIEWS = "reviews"
_KEY = re.compile(rf"([^/\x00-\x1f\\]+)/([0-9a-f]{{{KEY_DIGITS}}})")


def not_found(key: str) -> InputRejected:
    return InputRejected(
        "no such transcript", reason=Reason.NOT_FOUND, subject=key, next_step="open it from the list of transcripts"
    )


@dataclass(frozen=True)
class Place:
    """The place of one transcript."""

    transcripts: str
    """URI prefix of all transcripts."""
    programme: str
    digits: str
    """The first 12 hexadecimal digits of the transcript's key."""

    @classmethod
    def of(cls, transcripts: str, key: str) -> Self:
        """Return the place of `<programme>/<key12>`, as it comes in a URL.

        Raises:
            InputRejected: NOT_FOUND, if the key cannot be one. Whether the transcript exists is not checked.
        """
        match = _KEY.fullmatch(key)
        if not match or match[1].startswith((".", "_")):
            raise not_found(key)
        return cls(transcripts, match[1], match[2])

    @classmethod
    def of_folder(cls, transcripts: str, folder: str) -> Self:
        """Return the place of a transcript's folder, given as a URI below `transcripts`."""
        programme_uri, _, digits = folder.rstrip("/").rpartition("/")
        return cls.of(transcripts, f"{storage.name_of(programme_uri)}/{digits}")

    @property
    def key(self) -> str:
        return f"{self.programme}/{self.digits}"

    @property
    def folder(self) -> str:
        return storage.join(self.transcripts, quoted_name(self.programme, self.transcripts), self.digits)

    @property
    def manifest(self) -> str:
        return storage.join(self.folder, MANIFEST_NAME)

    def file(self, name: str) -> str:
        """URI of one of the machine's files."""
        return storage.join(self.folder, quoted_name(name, self.transcripts))

    @property
    def reviews(self) -> str:
        return storage.join(self.folder, REVIEWS)

    def review(self, number: int) -> str:
        """URI of a review."""
        return storage.join(self.reviews, f"{number:04d}.json")

    def reviewed(self, number: int) -> str:
        """URI of the folder with every format of a reviewed version."""
        return storage.join(self.reviews, f"{number:04d}")

    def reviewed_file(self, number: int, name: str) -> str:
        """URI of one of a reviewed version's files."""
        return storage.join(self.reviewed(number), quoted_name(name, self.transcripts))

    def reviewed_manifest(self, number: int) -> str:
        return storage.join(self.reviewed(number), MANIFEST_NAME)
