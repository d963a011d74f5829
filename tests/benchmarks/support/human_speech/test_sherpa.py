"""The weights in sherpa-onnx's format, read by sherpa-onnx."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import soundfile

from benchmarks.support.human_speech.systems import SHERPA_ONNX, SYSTEMS, converted
from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
from local.demo.synthesis.voices import VoiceSet, random_voice


@pytest.mark.skipif(SHERPA_ONNX not in SYSTEMS, reason="needs sherpa-onnx, silero-vad and onnx")
def test_sherpa_onnx_hears_what_is_said(whisper_tiny_en: Path, tmp_path: Path) -> None:
    inbox, folder = tmp_path / "inbox", tmp_path / "model"
    inbox.mkdir(), folder.mkdir()
    said = "The council has voted for a new bridge over the river."
    spoken = speak(said, random_voice(VoiceSet.BASE_TRAINING, random.Random(0)))
    soundfile.write(inbox / "programme.wav", spoken, ESPEAK_RATE_HZ)

    (heard,) = SYSTEMS[SHERPA_ONNX](inbox, converted(SHERPA_ONNX, whisper_tiny_en, folder))

    assert heard.text.lower().endswith("council has voted for a new bridge over the river.")
    assert all(0 <= word.start_ms < word.end_ms <= 1000 * len(spoken) / ESPEAK_RATE_HZ for word in heard.words)
