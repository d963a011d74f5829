"""An S3 server that only lists: an archive of any number of media with captions, made while it is read.

python -m benchmarks.support.list_server PORT MEDIA
"""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from local.ports import free_port

PAGE = 1000
HOST = "127.0.0.1"


def stem(number: int, n_media: int) -> str:
    """The key of a medium without its suffix. Keys are in order: 25 years of 97 folders."""
    folder = number * 25 * 97 // n_media
    return f"media/{2000 + folder // 97}/{folder % 97:02d}/programme-{number:07d}"


def size_of(number: int) -> int:
    """A medium's size in bytes: very different ones, about 0.7 GB in the mean."""
    return int(random.Random(number).lognormvariate(20, 0.8))


def page(start: int, n_media: int) -> bytes:
    """`PAGE` objects from number `start`, as ListObjectsV2 answers."""
    end = min(start + PAGE, 2 * n_media)
    rows = []
    for number in range(start, end):
        medium, is_captions = divmod(number, 2)
        suffix, size = ("srt", 40_000) if is_captions else ("mp4", size_of(medium))
        rows.append(
            f"<Contents><Key>{stem(medium, n_media)}.{suffix}</Key>"
            f"<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"{number:032x}"</ETag><Size>{size}</Size></Contents>'
        )
    more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < 2 * n_media else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>archive</Name>'
        f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{more}{''.join(rows)}</ListBucketResult>"
    ).encode()


def serve(port: int, n_media: int) -> None:
    """Serve until the process ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            if "list-type" not in query or "start-after" in query:
                self.send_error(501)
                return
            body = page(int(query.get("continuation-token", ["0"])[0]), n_media)
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    ThreadingHTTPServer((HOST, port), Handler).serve_forever()


@contextmanager
def list_server(n_media: int) -> Iterator[str]:
    """The endpoint of a new server in a process of its own."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.support.list_server", str(port), str(n_media)])
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    break
            if process.poll() is not None:
                raise RuntimeError(f"the list server ended with {process.returncode}")
            time.sleep(0.05)
        yield f"http://{HOST}:{port}"
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
