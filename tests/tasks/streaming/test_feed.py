"""The feeder: what it decodes comes out of the sandbox, from files, HTTP, HLS, UDP and RTP."""

from __future__ import annotations

import functools
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.streaming import feed as feeder
from tasks.streaming.hls_client import choose_variant, parse_media_playlist
from tasks.streaming.runtime.messages import AudioBlock, from_pcm
from tests.tasks.streaming.conftest import read_topic

pytestmark = pytest.mark.timeout(120)

RATE_HZ, SECONDS = 24_000, 3
TS_PACKET = 188


@pytest.fixture(scope="module")
def tone() -> np.ndarray:
    """A rising tone, `(n_samples,)` int16."""
    t = np.arange(RATE_HZ * SECONDS) / RATE_HZ
    return (12_000 * np.sin(2 * np.pi * (300 + 100 * t) * t)).astype(np.int16)


def encoded(tone: np.ndarray, container_format: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture(scope="module")
def ts(tone: np.ndarray) -> bytes:
    return encoded(tone, "mpegts", "mp2")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[AudioBlock]:
    """What the feeder would send, without a broker."""
    found: list[AudioBlock] = []

    class Kept:
        sequence = n_samples = sent_ms = 0

        def __init__(self, *_: str) -> None: ...

        def send(self, audio: bytes, rate_hz: int, n_channels: int, is_last: bool = False) -> None:
            block = AudioBlock(
                session="s", sequence=self.sequence, start_ms=self.sent_ms, sample_rate_hz=rate_hz, audio=audio,
                n_channels=n_channels, is_last=is_last,
            )  # fmt: skip
            found.append(block)
            self.sequence += 1
            self.n_samples += len(audio) // (2 * n_channels)
            self.sent_ms = 1000 * self.n_samples // rate_hz

        def flush(self) -> None: ...

    monkeypatch.setattr(feeder, "BlockSender", Kept)
    monkeypatch.setattr("tasks.kafka.wait_for_topics", lambda _: {})
    return found


def feed(address: str, stop: threading.Event | None = None) -> int:
    return feeder.feed(address, session="s", speed=0, block_ms=200, stop=stop or threading.Event())


def is_tone(blocks: list[AudioBlock], tone: np.ndarray, seconds: float = SECONDS) -> bool:
    """Whether the blocks hold the tone, up to a codec's delay."""
    assert [block.sequence for block in blocks] == list(range(len(blocks)))
    assert blocks[-1].is_last
    samples = np.concatenate([from_pcm(block.audio) for block in blocks])
    assert abs(len(samples) / RATE_HZ - seconds) < 0.2
    found = np.abs(np.fft.rfft(samples[:RATE_HZ]))
    expected = np.abs(np.fft.rfft(tone[:RATE_HZ]))
    return bool(np.corrcoef(found, expected)[0, 1] > 0.8)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_a_file_and_a_download(sent: list[AudioBlock], tone: np.ndarray, tmp_path: Path, web: str, scheme: str) -> None:
    (tmp_path / "a tone.flac").write_bytes(encoded(tone, "flac", "flac"))
    address = str(tmp_path / "a tone.flac") if scheme == "file" else f"{web}/a%20tone.flac"
    assert feed(address) == len(sent) > SECONDS * 5
    assert {len(block.audio) for block in sent[:-2]} == {RATE_HZ // 5 * 2}
    assert is_tone(sent, tone)


def test_a_playlist_is_followed_over_http_only(
    sent: list[AudioBlock], tone: np.ndarray, ts: bytes, tmp_path: Path, web: str
) -> None:
    half = len(ts) // 2 // TS_PACKET * TS_PACKET
    (tmp_path / "0.ts").write_bytes(ts[:half])
    (tmp_path / "1.ts").write_bytes(ts[half:])
    (tmp_path / "low.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n#EXTINF:1,\n1.ts\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "master.m3u8").write_text(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=900000\nhigh.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=90000\nlow.m3u8\n"
    )
    feed(f"{web}/master.m3u8")
    assert is_tone(sent, tone)
    (tmp_path / "evil.m3u8").write_text("#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputRejected, match="other than HTTP"):
        feed(f"{web}/evil.m3u8")


@pytest.mark.parametrize("wrap", [lambda ts, _: ts, lambda ts, n: bytes([0x80, 33]) + n.to_bytes(2) + bytes(8) + ts])
def test_datagrams(sent: list[AudioBlock], tone: np.ndarray, ts: bytes, wrap: Callable[[bytes, int], bytes]) -> None:
    """MPEG-TS over UDP, plain and in RTP."""
    scheme = "udp" if wrap(b"", 0) == b"" else "rtp"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stop = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            size = 7 * TS_PACKET
            for turn in range(400):  # again and again: nobody says when the receiver listens
                for number, start in enumerate(range(0, len(ts), size)):
                    sender.sendto(wrap(ts[start : start + size], turn * 100 + number), ("127.0.0.1", port))
                    time.sleep(0.002)
                if stop.is_set() or len(sent) > 30:
                    break
            stop.set()

    thread = threading.Thread(target=send)
    thread.start()
    feed(f"{scheme}://127.0.0.1:{port}", stop)
    stop.set()
    thread.join()
    assert len(sent) > 30
    assert sent[-1].is_last
    loud = [np.abs(from_pcm(block.audio)).mean() > 0.1 for block in sent[:-1]]
    assert sum(loud) > 20


def test_what_cannot_be_read_is_told(sent: list[AudioBlock], tmp_path: Path, web: str) -> None:
    (tmp_path / "page.html").write_text("<html>" * 1000)
    for address, reason in (
        (str(tmp_path / "none.wav"), Reason.NOT_FOUND),
        (f"{web}/none.wav", Reason.NOT_FOUND),
        (f"{web}/page.html", Reason.NOT_MEDIA),
    ):
        with pytest.raises(InputRejected) as raised:
            feed(address)
        assert raised.value.reason is reason
    with pytest.raises(Misconfigured, match="unsupported URL scheme"):
        feed("gopher://127.0.0.1/x")
    assert not sent


def test_a_stream_that_breaks_off_ends_its_session(
    kafka: str, tone: np.ndarray, ts: bytes, session_name: str, tmp_path: Path
) -> None:
    """Through the broker: what arrived before is delivered, and the session has its last block."""

    class Torn(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(2 * len(ts)))
            self.end_headers()
            self.wfile.write(ts)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Torn) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(InputRejected, match=f"the input broke off after {SECONDS} s"):
            feeder.feed(
                f"http://127.0.0.1:{server.server_port}/live.ts",
                session=session_name,
                speed=0,
                block_ms=200,
                stop=threading.Event(),
            )
        server.shutdown()
    found = read_topic(AudioBlock.TOPIC, session_name, lambda found: found[-1:] and found[-1]["is_last"], 30)
    assert is_tone([AudioBlock.model_validate(message) for message in found], tone)


def test_playlists() -> None:
    base = "https://radio.example/a/master.m3u8"
    master = '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",URI="de.m3u8"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n'
    assert choose_variant(master, base) == "https://radio.example/a/de.m3u8"
    live = parse_media_playlist(
        '#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:41\n#EXT-X-MAP:URI="/init.mp4"\n#EXTINF:6,\n41.m4s\n\n42.m4s\n', base
    )
    assert (live.first, live.header, live.has_ended) == (41, "https://radio.example/init.mp4", False)
    assert live.segments == ("https://radio.example/a/41.m4s", "https://radio.example/a/42.m4s")
    for unsupported in ('#EXT-X-KEY:METHOD=AES-128,URI="k"', "#EXT-X-BYTERANGE:1@0"):
        with pytest.raises(ValueError, match="not supported"):
            parse_media_playlist(f"#EXTM3U\n{unsupported}\n0.ts\n", base)
