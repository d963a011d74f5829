"""Only the given bytes are read: no URL, other file or device, whatever the content or name of a file."""

from __future__ import annotations

import os
import socket
import threading
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks.contract import Reason
from tasks.media.container import formats
from tasks.media.container.probe import probe_media
from tasks.media.decoding.reader import load_audio
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits
from tests.tasks.media.making import Track, encode, marked, wav

SPOKEN = wav(marked(1.0, 16_000)[None], 16_000)


class Listener:
    """A server that counts connections."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            connection.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    yield server
    server.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file beside the medium that must not be read. Its access time is in the past."""
    path = tmp_path / "secret.wav"
    path.write_bytes(SPOKEN)
    os.utime(path, (1, path.stat().st_mtime))
    return path


DISGUISES: dict[str, Callable[[str, Path], str]] = {
    "m3u8": lambda url, other: f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXTINF:9,\n{other}\n",
    "m3u8 with a mark": lambda url, other: f"\ufeff#EXTM3U\n#EXTINF:9,\n{other}\n",
    "plain m3u": lambda url, other: f"# my list\n{url}\n",
    "ffconcat": lambda url, other: f"ffconcat version 1.0\nfile '{other}'\nfile '{url}'\n",
    "ffconcat beside it": lambda url, other: f"ffconcat version 1.0\nfile {other.name}\n",
    "concat": lambda url, other: f"file '{other}'\n",
    "sdp": lambda url, other: "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "dash": lambda url, other: f"<?xml version='1.0'?>\n<MPD type='static'><BaseURL>{url}</BaseURL></MPD>",
    "smil": lambda url, other: f"<smil><body><audio src='{url}'/></body></smil>",
    "asx": lambda url, other: f"<asx version='3.0'><entry><ref href='{url}'/></entry></asx>",
    "pls": lambda url, other: f"[playlist]\nFile1={url}\nNumberOfEntries=1\n",
    "asf redirector": lambda url, other: f"[Reference]\nRef1={url}\n",
    "shortcut": lambda url, other: f"[InternetShortcut]\nURL={url}\n",
    "url": lambda url, other: f"{url}\n",
    "protocol": lambda url, other: f"concat:{other}|{other}\n",
    "device": lambda url, other: "lavfi:sine=frequency=1000\n",
}


@pytest.mark.parametrize("name", DISGUISES)
@pytest.mark.parametrize("suffix", [".wav", ".m3u8"])
def test_a_file_that_only_refers_to_others_is_rejected(
    name: str, suffix: str, listener: Listener, secret: Path, tmp_path: Path
):
    media = tmp_path / f"programme{suffix}"
    media.write_text(DISGUISES[name](f"http://{listener.address}/a.wav", secret))
    with pytest.raises(MediaRejected) as rejected:
        load_audio(media)
    assert rejected.value.reason is Reason.REMOTE_REFERENCE
    assert listener.calls == 0
    assert secret.stat().st_atime == 1


@pytest.mark.parametrize("name", DISGUISES)
def test_ffmpeg_itself_follows_no_reference(
    name: str, listener: Listener, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Without our own check, and with playlist formats enabled: no protocol is left to follow them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tasks.media.container.source.REMOTE_REFERENCE", formats.re.compile(b"(?!)"))
    monkeypatch.setattr(
        "tasks.media.container.source.FORMATS", (*formats.FORMATS, "hls", "concat", "sdp", "dash", "asx")
    )
    media = tmp_path / "programme.m3u8"
    media.write_text(DISGUISES[name](f"http://{listener.address}/a.wav", secret))
    with pytest.raises(MediaRejected):
        load_audio(media)
    assert listener.calls == 0
    assert secret.stat().st_atime == 1


def test_the_listener_and_the_secret_detect_access(listener: Listener, secret: Path):
    """The assumption of the tests above."""
    socket.create_connection(listener.address.split(":")).close()
    while not listener.calls:
        pass
    secret.read_bytes()
    if secret.stat().st_atime == 1:
        pytest.skip("this file system keeps no access times")


def test_an_mp4_whose_audio_is_in_another_file(secret: Path, tmp_path: Path):
    """A MOV data reference ("alis", "url ") to a file beside it is not followed."""
    inside = encode("mov", Track(marked(1.0)[None], "pcm_s16le"))
    at = inside.index(b"url ")
    outside = inside[: at + 4] + b"\0\0\0\0" + inside[at + 8 :]  # clear the flag for "in this file"
    media = tmp_path / "reference.mov"
    media.write_bytes(outside)
    samples = load_audio(media)  # its own bytes
    assert len(samples) == 16_000
    assert secret.stat().st_atime == 1


@pytest.mark.parametrize(
    "address", ["http://{}/a.wav", "tcp://{}", "rtp://{}", "concat:{}|b", "pipe:0", "-", "file:a.wav"]
)
def test_a_url_is_treated_as_a_path(address: str, listener: Listener):
    with pytest.raises(MediaRejected) as rejected:
        probe_media(address.format(listener.address))
    assert rejected.value.reason is Reason.UNREADABLE
    assert listener.calls == 0


def test_devices_pipes_and_folders_are_not_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.wav")  # without a writer, so that a reader would block forever
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    for path in (
        "/dev/zero",
        tmp_path / "device.wav",
        tmp_path / "pipe.wav",
        tmp_path,
        tmp_path / "missing.wav",
        "a\0b",
    ):
        with pytest.raises(MediaRejected) as rejected:
            probe_media(path)
        assert rejected.value.reason is Reason.UNREADABLE


NAMES = [
    "line\nbreak.wav",
    "quote'\".wav",
    "-i.wav",
    "--help",
    "%d.wav",
    "http:example.wav",
    "concat:a|b.wav",
    "lavfi:sine",
    "\u202egnp.wav",
    "שידור.wav",
    unicodedata.normalize("NFD", "Überträgt.wav"),
    "a" * 251 + ".wav",
    "programme.m3u8",
    "$(touch x);.wav",
    os.fsdecode(b"\xff\xfe.wav"),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_are_never_interpreted(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / name).write_bytes(SPOKEN)
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, name):  # also as a bare name, like an option
        assert len(load_audio(path)) == 16_000


def test_a_file_that_is_too_large_is_not_read():
    with pytest.raises(MediaRejected) as rejected:
        probe_media(SPOKEN, MediaLimits(max_bytes=1000))
    assert rejected.value.reason is Reason.TOO_LARGE


def test_storage_errors_are_not_blamed_on_the_file(tmp_path: Path):
    class Failing:
        """A file on storage that fails."""

        def __init__(self) -> None:
            self.file = (tmp_path / "a.wav").open("rb")
            self.n_reads = 0

        def read(self, n_bytes: int) -> bytes:
            self.n_reads += 1
            if self.n_reads > 3:
                raise ConnectionResetError("storage went away")
            return self.file.read(min(n_bytes, 10_000))

        def seek(self, *where: int) -> int:
            return self.file.seek(*where)

        def tell(self) -> int:
            return self.file.tell()

    (tmp_path / "a.wav").write_bytes(wav(np.stack([marked(10.0, 16_000)]), 16_000))
    with pytest.raises(ConnectionResetError):
        load_audio(Failing())
