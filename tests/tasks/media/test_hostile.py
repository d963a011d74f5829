"""What becomes of every broken, odd and misleading file of the shared collection. One table says it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.contract import Outcome, Reason
from tasks.media.decode import open_audio
from tasks.media.findings import MediaRejected, outcome_of
from tasks.media.isolated import open_audio_isolated

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
    "lying-header/vbr_xing_header_2channel.mp3": (WARNED, Reason.HEADER_MISMATCH, 0.133),
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
    "odd-encoding/variable-block.flac": (SILENT, Reason.SILENCE, 0.906),
    "silence/no-tags.flac": (SILENT, Reason.SILENCE, 3.685),
    "silence/silence.opus": (SILENT, Reason.SILENCE, 0.1),
    "silence/silence2sec.wav": (SILENT, Reason.SILENCE, 2.0),
    "truncated/cut_off_titles.mp3": (SILENT, Reason.SILENCE, 0.052),
    "truncated/incomplete.mp3": (REJECTED, Reason.NOT_MEDIA, 0),
    "truncated/mp4_extended_size_truncated.m4a": (REJECTED, Reason.DAMAGED, 0),
    "truncated/test-44100Hz-le-1ch-4bytes-early-eof.wav": (WARNED, Reason.TRUNCATED, 0.005),
    "video/bbb_sunflower_QCIF_30fps_mp4v_noaudio_1f.mp4": (REJECTED, Reason.NO_AUDIO_TRACK, 0),
    "video/test5.webm": (DONE, None, 1.48),
    "wrong-extension/mp3_audio.wav": (SILENT, Reason.SILENCE, 1.045),
    "wrong-extension/there_is_no_such_ext.bogus": (REJECTED, Reason.NOT_MEDIA, 0),
    "wrong-extension/wrong_extension.aac": (DONE, None, 9.659),
}


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
def test_a_child_process_comes_to_the_same(name: str, speech: Path):
    expected, reason, duration_s = TABLE[name]
    found = outcome(speech / "hostile" / name, open_audio_isolated)
    assert found == (expected, reason, pytest.approx(duration_s, abs=0.002))
