"""Outcomes of broken, unusual and misleading media: a table of collected files, and one of generated files.

Playlists, addresses, devices and odd names are in `test_safety.py`; what exactly a damaged medium loses is in
`test_damage.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tasks.contract import Outcome, Reason
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.media.decoding.reader import open_audio
from tasks.media.findings import MediaRejected, outcome_of
from tasks.media.limits import MediaLimits
from tests.tasks.media.making import Track, encode, flipped, marked, rf64, wav, with_total_samples

DONE, WARNED, SILENT, REJECTED = (
    Outcome.DONE,
    Outcome.DONE_WITH_WARNINGS,
    Outcome.DONE_NO_SPEECH,
    Outcome.REJECTED,
)

# Path: outcome, reason, seconds of audio.
TABLE: dict[str, tuple[Outcome, Reason | None, float]] = {
    "bad-header/106-invalid-streaminfo.flac": (REJECTED, Reason.DAMAGED, 0),
    "bad-header/awful.wav": (REJECTED, Reason.UNSUPPORTED_CODEC, 0),  # 1,092,676 Hz
    "bad-header/mp4_invalid_size_zero.m4a": (REJECTED, Reason.DAMAGED, 0),
    "bad-header/zero_value_properties.flac": (REJECTED, Reason.UNSUPPORTED_CODEC, 0),
    "bad-header/zero_value_properties.m4a": (REJECTED, Reason.DAMAGED, 0),
    "bad-header/zero_value_properties.wav": (REJECTED, Reason.DAMAGED, 0),
    "changing-stream/02_-_increasing_number_of_channels.flac": (DONE, None, 14.486),
    "changing-stream/10_-_file_starting_at_frame_header.flac": (DONE, None, 15.072),
    "empty/empty_file.m4a": (REJECTED, Reason.EMPTY, 0),
    "empty/empty_file.mp3": (REJECTED, Reason.EMPTY, 0),
    "empty/invalid_file.flac": (REJECTED, Reason.NOT_MEDIA, 0),
    "empty/invalid_file.wav": (REJECTED, Reason.NOT_MEDIA, 0),
    "empty/mono.empty.wav": (REJECTED, Reason.EMPTY, 0),
    "fuzz/flac_02947f56c6.flac": (REJECTED, Reason.DAMAGED, 0),
    "fuzz/flac_0fd738fd58.flac": (REJECTED, Reason.DAMAGED, 0),
    "fuzz/flac_23d1288573.flac": (REJECTED, Reason.DAMAGED, 0),
    "fuzz/flac_5ef80ac28c.flac": (REJECTED, Reason.DAMAGED, 0),
    "fuzz/flac_64a18b4b38.flac": (REJECTED, Reason.DAMAGED, 0),
    "fuzz/flac_74b23b5fb3.flac": (REJECTED, Reason.DAMAGED, 0),
    "fuzz/large_vorbis_comment_block.flac": (REJECTED, Reason.DAMAGED, 0),
    "fuzz/mp4_fuzz_6093954524250112.mp4": (REJECTED, Reason.TRUNCATED, 0),
    "fuzz/wav_crash-24728523.wav": (REJECTED, Reason.TRUNCATED, 0),
    "fuzz/wav_crash-e5471f5b.wav": (DONE, None, 0),  # four samples
    "fuzz/wav_oom-48ae4cd061.wav": (REJECTED, Reason.TRUNCATED, 0),
    "lying-header/03_-_wrong_bit_depth.flac": (REJECTED, Reason.DAMAGED, 0),
    "lying-header/05_-_wrong_total_number_of_samples.flac": (WARNED, Reason.HEADER_MISMATCH, 4.562),
    "lying-header/vbr_xing_header_2channel.mp3": (REJECTED, Reason.TRUNCATED, 0),  # 2 kB of 1.4 MB
    "metadata/creative_common.mp4": (DONE, None, 2.261),
    "metadata/multipagecomment.ogg": (SILENT, Reason.SILENCE, 3.682),
    "metadata/utf-8-id3v2-invalid-string.mp3": (REJECTED, Reason.DAMAGED, 0),
    "missing-part/06_-_missing_streaminfo_metadata_block.flac": (REJECTED, Reason.DAMAGED, 0),
    "missing-part/missing_wav_header.wav": (REJECTED, Reason.NOT_MEDIA, 0),
    "name/non_ascii_filename_äää.mp3": (SILENT, Reason.SILENCE, 5.0),
    "no-audio/magic_bytes_only_mp3.x": (REJECTED, Reason.DAMAGED, 0),
    "no-audio/magic_bytes_only_wav.x": (REJECTED, Reason.TRUNCATED, 0),
    "no-audio/mono.zero.wav": (REJECTED, Reason.EMPTY, 0),
    "no-audio/no_audio.ogg": (REJECTED, Reason.EMPTY, 0),
    "no-audio/no_audio_data_uncompressed.wav": (REJECTED, Reason.EMPTY, 0),
    "not-speech/big_buck_bunny_small.mp4": (DONE, None, 5.312),  # 5.1
    "not-speech/empty.wav": (DONE, None, 1.0),  # noise
    "odd-encoding/16bit_pcm_to_als.mp4": (SILENT, Reason.SILENCE, 0.1),
    "odd-encoding/adpcm_no_byterate.wav": (SILENT, Reason.SILENCE, 0.127),
    "odd-encoding/alac_file.m4a": (REJECTED, Reason.TRUNCATED, 0),
    "odd-encoding/gsm_6_10.wav": (DONE, None, 0.102),
    "odd-encoding/silence.wma": (SILENT, Reason.SILENCE, 0.064),
    "odd-encoding/test-44100Hz-be-1ch-4bytes.wav": (REJECTED, Reason.UNSUPPORTED_CODEC, 0),  # RIFX
    "odd-encoding/test-44100Hz-le-1ch-4bytes-rf64.wav": (DONE, None, 0.1),
    "odd-encoding/test-48000Hz-2ch-64bit-float-le-wavex.wav": (DONE, None, 0.01),
    "odd-encoding/test-8000Hz-le-3ch-5S-36bit.wav": (REJECTED, Reason.UNSUPPORTED_CODEC, 0),
    "odd-encoding/test-8000Hz-le-5ch-9S-5bit.wav": (DONE, None, 0.001),
    "odd-encoding/variable-block.flac": (REJECTED, Reason.TRUNCATED, 0),  # the first second of four minutes
    "silence/no-tags.flac": (SILENT, Reason.SILENCE, 3.685),
    "silence/silence.opus": (SILENT, Reason.SILENCE, 0.1),
    "silence/silence2sec.wav": (SILENT, Reason.SILENCE, 2.0),
    "truncated/cut_off_titles.mp3": (SILENT, Reason.SILENCE, 0.052),
    "truncated/incomplete.mp3": (REJECTED, Reason.NOT_MEDIA, 0),
    "truncated/mp4_extended_size_truncated.m4a": (REJECTED, Reason.DAMAGED, 0),
    "truncated/test-44100Hz-le-1ch-4bytes-early-eof.wav": (REJECTED, Reason.TRUNCATED, 0),
    "video/bbb_sunflower_QCIF_30fps_mp4v_noaudio_1f.mp4": (REJECTED, Reason.NO_AUDIO_TRACK, 0),
    "video/test5.webm": (DONE, None, 1.48),
    "wrong-extension/mp3_audio.wav": (SILENT, Reason.SILENCE, 1.045),
    "wrong-extension/there_is_no_such_ext.bogus": (REJECTED, Reason.NOT_MEDIA, 0),
    "wrong-extension/wrong_extension.aac": (DONE, None, 9.659),
}


# Possible outcomes of a medium with arbitrary bit errors.
ANY_DAMAGE = {
    (DONE, None),
    (SILENT, Reason.SILENCE),
    *((WARNED, reason) for reason in (Reason.DAMAGED, Reason.HEADER_MISMATCH, Reason.TRUNCATED)),
    *(
        (REJECTED, reason)
        for reason in (
            Reason.DAMAGED, Reason.NOT_MEDIA, Reason.TRUNCATED, Reason.EMPTY, Reason.NO_AUDIO_TRACK,
            Reason.UNSUPPORTED_CODEC, Reason.TOO_LONG,
        )
    ),
}  # fmt: skip
EMPTY, NOT_MEDIA, DAMAGED = (REJECTED, Reason.EMPTY), (REJECTED, Reason.NOT_MEDIA), (REJECTED, Reason.DAMAGED)
END_MISSING, UNSUPPORTED = (WARNED, Reason.TRUNCATED), (REJECTED, Reason.UNSUPPORTED_CODEC)
WRONG_HEADER = (WARNED, Reason.HEADER_MISMATCH)

MOSTLY_MISSING = (REJECTED, Reason.TRUNCATED)

# Container, codec: outcomes of truncation at any tenth. In the first tenth, a broken last frame is too large a share.
TRUNCATED = {
    ("wav", "pcm_s16le"): {MOSTLY_MISSING},
    ("flac", "flac"): {MOSTLY_MISSING, WRONG_HEADER},  # cut inside a frame, or between two
    ("mp3", "libmp3lame"): {MOSTLY_MISSING},
    ("mp4", "aac"): {MOSTLY_MISSING},  # its index is at the end, as in MOV
    ("mov", "pcm_s24le"): {MOSTLY_MISSING},
    ("adts", "aac"): {(WARNED, Reason.DAMAGED), (DONE, None)},  # it declares no length
    ("mpegts", "mp2"): {(WARNED, Reason.DAMAGED), (DONE, None)},
    ("ogg", "libopus"): {(WARNED, Reason.DAMAGED), (DONE, None), DAMAGED},
    ("matroska", "ac3"): {MOSTLY_MISSING},
}
NEARLY_WHOLE = {END_MISSING}  # in addition, if at most a tenth is missing
FLIPS = [3 * 4**seed for seed in range(6)]  # number of flipped bits
DECLARED_LENGTHS = [
    0,
    1,
    1 << 16,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 36) - 1,
    1 << 48,
    (1 << 63) - 1,
    1 << 63,
]  # samples
MONO = marked(2.0, 16_000)[None]

Outcomes = set[tuple[Outcome, Reason | None]]


def generated() -> Iterator[tuple[str, bytes, Outcomes]]:
    """Name, medium, and its allowed outcomes."""
    yield "no bytes", b"", {EMPTY}
    yield "one zero", b"\0", {NOT_MEDIA}
    yield "a megabyte of zeros", bytes(1 << 20), {NOT_MEDIA}
    for (container, codec), cut in TRUNCATED.items():
        medium = encode(container, Track(np.stack([marked(6.0)] * 2), codec, bit_rate=128_000))
        name = f"{container} {codec}"
        for tenths in range(1, 10):
            allowed = cut | (NEARLY_WHOLE if tenths == 9 and MOSTLY_MISSING in cut else set())
            yield f"{name}, the first {tenths}0 %", medium[: len(medium) * tenths // 10], allowed
        for seed, n_bits in enumerate(FLIPS):
            yield f"{name}, {n_bits} bits turned", flipped(medium, n_bits, seed), ANY_DAMAGE
        yield f"{name}, zeros after its header", medium[:1000] + bytes(200_000), ANY_DAMAGE - {(DONE, None)}
    flac = encode("flac", Track(MONO, "flac", 16_000))
    for claim in DECLARED_LENGTHS:
        little = claim <= 1
        huge = claim >= (1 << 63) - 1  # negative for FFmpeg
        short = claim == 1 << 16  # representable in 32-bit RIFF
        yield (
            f"wav that claims {claim} samples",
            wav(MONO, 16_000, claimed_bytes=2 * claim),
            ({(DONE, None), (SILENT, Reason.SILENCE)} if little else {MOSTLY_MISSING} if short else {(DONE, None)}),
        )
        yield (
            f"rf64 that claims {claim} samples",
            rf64(MONO, 16_000, claim),
            ({EMPTY, (SILENT, Reason.SILENCE)} if little else {DAMAGED} if huge else {WRONG_HEADER}),
        )
        claimed = with_total_samples(flac, min(claim, (1 << 36) - 1))
        yield f"flac that claims {claim} samples", claimed, {(DONE, None)} if claim == 0 else {WRONG_HEADER}
    for rate_hz, n_channels, expected in (
        (0, 1, DAMAGED), (1, 1, UNSUPPORTED), (2**31 - 1, 1, UNSUPPORTED), (2**32 - 1, 1, DAMAGED),
        (16_000, 65_535, UNSUPPORTED), (16_000, 0, UNSUPPORTED),
    ):  # fmt: skip
        medium = bytearray(wav(MONO, 16_000))
        medium[22:24], medium[24:28] = n_channels.to_bytes(2, "little"), rate_hz.to_bytes(4, "little")
        yield f"wav of {n_channels} channels at {rate_hz} Hz", bytes(medium), {expected}


@pytest.fixture(scope="module")
def decoder() -> Iterator[IsolatedDecoder]:
    with IsolatedDecoder() as started:
        yield started


LIMITS = MediaLimits(stalled_s=60.0, max_duration_s=3600.0, memory_bytes=256 << 20)


@pytest.mark.slow  # 190 processes
def test_every_generated_medium_ends_in_its_outcome(decoder: IsolatedDecoder, tmp_path: Path):
    """In an isolated process with limits. All deviations from the table are reported together."""
    open_media = partial(decoder.open_audio, limits=LIMITS)
    wrong: dict[str, object] = {}
    names = set()
    n_open = len(list(Path("/proc/self/fd").iterdir()))
    for name, medium, expected in generated():
        path = tmp_path / "medium"
        path.write_bytes(medium)
        what, reason, _ = outcome(path, open_media)
        if (what, reason) not in expected:
            wrong[name] = (what, reason)
        names.add(name)
    assert wrong == {}
    assert len(names) > 170
    assert len(list(Path("/proc/self/fd").iterdir())) <= n_open + 2, "the decoder's own"


def test_hours_of_silence(decoder: IsolatedDecoder, tmp_path: Path):
    """Three hours of zeros in a sparse file."""
    path = tmp_path / "silence.wav"
    with path.open("wb") as file:
        file.write(wav(np.zeros((1, 0), np.float32), claimed_bytes=3 * 3600 * 32_000))
        file.truncate(44 + 3 * 3600 * 32_000)
    assert outcome(path, decoder.open_audio) == (SILENT, Reason.SILENCE, 3 * 3600)
    assert outcome(path, partial(decoder.open_audio, limits=LIMITS)) == (REJECTED, Reason.TOO_LONG, 0)


def outcome(path: Path, open_media=open_audio) -> tuple[Outcome, Reason | None, float]:
    try:
        with open_media(path) as audio:
            n_samples = sum(len(block) for block in audio)
        item = outcome_of(path.name, audio.findings)
        assert n_samples == audio.findings.n_samples
        return item.outcome, item.reason, item.duration_s
    except MediaRejected as rejected:
        return REJECTED, rejected.reason, 0 if rejected.detail else -1


def test_the_table_is_complete(speech: Path):
    rows = [json.loads(line)["path"] for line in (speech / "hostile" / "manifest.jsonl").open()]
    assert {row.removeprefix("hostile/") for row in rows} == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_each_ends_in_its_outcome(name: str, speech: Path):
    expected, reason, duration_s = TABLE[name]
    assert outcome(speech / "hostile" / name) == (expected, reason, pytest.approx(duration_s, abs=0.002))


@pytest.mark.parametrize("name", ["not-speech/big_buck_bunny_small.mp4", "fuzz/flac_64a18b4b38.flac"])
def test_an_isolated_process_gives_the_same_outcome(name: str, decoder: IsolatedDecoder, speech: Path):
    expected, reason, duration_s = TABLE[name]
    found = outcome(speech / "hostile" / name, decoder.open_audio)
    assert found == (expected, reason, pytest.approx(duration_s, abs=0.002))
