"""Log-mel features on one core, in times real time, beside every public extractor that computes them.

The audio is synthetic: shaped noise in utterances of 2 to 20 seconds, since the arithmetic does not depend on what is
said. Each contender gets the same waveforms and its own favourite way of being called.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.measure import Report, race, report, run

SAMPLE_RATE_HZ = 16_000
REPEATS = 7
PEER = "torchaudio"


def utterances(n: int = 60, seed: int = 0) -> list[np.ndarray]:
    """Waveforms `(n_samples,)` float32 of 2 to 20 seconds."""
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(2, 20, n) * SAMPLE_RATE_HZ
    return [rng.standard_normal(int(length)).astype(np.float32) * 0.1 for length in lengths]


def measure() -> Report:
    import torch

    torch.set_num_threads(1)
    waveforms = utterances()
    seconds = sum(len(waveform) for waveform in waveforms) / SAMPLE_RATE_HZ
    rows = race(contenders(waveforms), PEER, seconds, REPEATS)
    return report(
        "features",
        f"80 mels, 10 ms, {len(waveforms)} utterances, {seconds:.0f} s of audio, one thread",
        "x real time",
        PEER,
        ("torch", "torchaudio", "transformers", "faster-whisper", "kaldi-native-fbank", "librosa", "lhotse", "numpy"),
        rows,
        ["transformers' Whisper extractor pads each utterance to 30 s: the audio counted is what was given"],
    )


def contenders(waveforms: list[np.ndarray]) -> dict[str, Callable[[], object]]:
    """Each extractor as a call that turns all waveforms into features."""
    import kaldi_native_fbank
    import librosa
    import torch
    import torchaudio
    from faster_whisper.feature_extractor import FeatureExtractor as FasterWhisper
    from lhotse import Fbank, FbankConfig
    from transformers import ParakeetFeatureExtractor, WhisperFeatureExtractor

    from tasks.features.config import parakeet, whisper
    from tasks.features.logmel import LogMel

    ours, ours_whisper = LogMel(parakeet()), LogMel(whisper())
    melspectrogram = torchaudio.transforms.MelSpectrogram(SAMPLE_RATE_HZ, 512, 400, 160, n_mels=80, mel_scale="slaney")
    tensors = [torch.from_numpy(waveform) for waveform in waveforms]
    theirs_parakeet, theirs_whisper = ParakeetFeatureExtractor(), WhisperFeatureExtractor()
    faster_whisper = FasterWhisper()
    lhotse = Fbank(FbankConfig(num_filters=80))
    options = kaldi_native_fbank.FbankOptions()
    options.mel_opts.num_bins = 80

    def kaldi(waveform: np.ndarray) -> object:
        fbank = kaldi_native_fbank.OnlineFbank(options)
        fbank.accept_waveform(SAMPLE_RATE_HZ, waveform)
        return np.stack([fbank.get_frame(n) for n in range(fbank.num_frames_ready)])

    def librosa_mel(waveform: np.ndarray) -> object:
        mel = librosa.feature.melspectrogram(
            y=waveform, sr=SAMPLE_RATE_HZ, n_fft=512, win_length=400, hop_length=160, n_mels=80
        )
        return np.log(mel + 1e-10)

    def each(call: Callable[[np.ndarray], object]) -> Callable[[], object]:
        return lambda: [call(waveform) for waveform in waveforms]

    return {
        "airscript parakeet": lambda: ours(waveforms),
        "airscript whisper": lambda: ours_whisper(waveforms),
        "torchaudio": lambda: [melspectrogram(tensor).clamp(min=1e-10).log() for tensor in tensors],
        "transformers parakeet": each(lambda w: theirs_parakeet(w, sampling_rate=SAMPLE_RATE_HZ)),
        "transformers whisper": each(lambda w: theirs_whisper(w, sampling_rate=SAMPLE_RATE_HZ)),
        "faster-whisper": each(faster_whisper),
        "lhotse": each(lambda w: lhotse.extract(w, SAMPLE_RATE_HZ)),
        "kaldi-native-fbank": each(kaldi),
        "librosa": each(librosa_mel),
    }


if __name__ == "__main__":
    run(__doc__ or "", measure)
