"""Log-mel features on one core, in times real time, beside every public extractor that computes them.

The audio is noise in utterances of 2 to 20 seconds: the cost does not depend on the content. All contenders get the
same waveforms, each by its recommended call. With a GPU, ours runs there too, from waveforms in main memory to features
in main memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.support.harness import Report, make_report, processor_seconds, run, time_interleaved
from tasks.audio import SAMPLE_RATE_HZ

REPEATS = 7
PEER = "torchaudio"


def utterances(n: int = 60, seed: int = 0) -> list[np.ndarray]:
    """Waveforms `(n_samples,)` float32 of 2 to 20 seconds."""
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(2, 20, n) * SAMPLE_RATE_HZ
    return [rng.standard_normal(int(length)).astype(np.float32) * 0.1 for length in lengths]


def measure() -> Report:
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    waveforms = utterances()
    seconds = sum(len(waveform) for waveform in waveforms) / SAMPLE_RATE_HZ
    with threadpool_limits(1):
        contenders = {name: partial(extract, waveforms) for name, extract in extractors().items()}
        rows = time_interleaved(contenders, PEER, seconds, REPEATS, processor_seconds)
    notes = [
        "processor seconds of one thread",
        "transformers' Whisper extractor pads each utterance to 30 s: only the audio without padding is counted",
    ]
    if torch.cuda.is_available():
        rows += time_interleaved(on_gpu(waveforms), "airscript parakeet, GPU", seconds, REPEATS)
        notes.append(f"GPU: wall-clock seconds on {torch.cuda.get_device_name()}, comparable with each other only")
    else:
        notes.append("no GPU here")
    return make_report(
        "features",
        f"10 ms, 80 mels unless it says otherwise, {len(waveforms)} utterances, {seconds:.0f} s of audio",
        "x real time",
        PEER,
        (
            "torch",
            "torchaudio",
            "asrfront",
            "transformers",
            "faster-whisper",
            "kaldi-native-fbank",
            "librosa",
            "lhotse",
            "numpy",
        ),
        rows,
        notes,
    )


def on_gpu(waveforms: list[np.ndarray]) -> dict[str, Callable[[], object]]:
    """Ours on the GPU. Copying the features back synchronises."""
    from tasks.features.config import FeaturesConfig, parakeet, wav2vec2_bert, whisper
    from tasks.features.logmel import LogMel

    def extract(config: FeaturesConfig) -> Callable[[], object]:
        ours = LogMel(config, "cuda")
        return lambda: [features.cpu() for features in ours(waveforms)]

    return {
        f"airscript {name}, GPU": extract(config)
        for name, config in (("parakeet", parakeet()), ("whisper", whisper()), ("wav2vec2-BERT", wav2vec2_bert()))
    }


Extractor = Callable[[list[np.ndarray]], object]
"""Waveforms `(n_samples,)` to their features."""


def extractors() -> dict[str, Extractor]:
    """Ours and the public ones."""
    import asrfront
    import kaldi_native_fbank
    import librosa
    import torch
    import torchaudio
    from faster_whisper.feature_extractor import FeatureExtractor as FasterWhisper
    from lhotse import Fbank, FbankConfig
    from torchaudio.compliance.kaldi import fbank as kaldi_fbank
    from transformers import ParakeetFeatureExtractor, SeamlessM4TFeatureExtractor, WhisperFeatureExtractor

    from tasks.features.config import parakeet, wav2vec2_bert, whisper
    from tasks.features.logmel import LogMel

    ours, ours_bert = LogMel(parakeet()), LogMel(wav2vec2_bert())
    ours_whisper, ours_whisper_128 = LogMel(whisper()), LogMel(whisper(128))
    in_torch = LogMel(whisper(), allows_native=False)
    melspectrogram = torchaudio.transforms.MelSpectrogram(SAMPLE_RATE_HZ, 512, 400, 160, n_mels=80, mel_scale="slaney")
    theirs_parakeet, theirs_whisper = ParakeetFeatureExtractor(), WhisperFeatureExtractor()
    theirs_bert = SeamlessM4TFeatureExtractor()
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

    def each(call: Callable[[np.ndarray], object]) -> Extractor:
        return lambda waveforms: [call(waveform) for waveform in waveforms]

    return {
        "airscript parakeet": ours,
        "airscript whisper": ours_whisper,
        "airscript whisper, 128 mels": ours_whisper_128,
        "airscript whisper, in torch": in_torch,
        "airscript wav2vec2-BERT": ours_bert,
        "torchaudio": each(lambda w: melspectrogram(torch.from_numpy(w)).clamp(min=1e-10).log()),
        "transformers parakeet": each(lambda w: theirs_parakeet(w, sampling_rate=SAMPLE_RATE_HZ)),
        "transformers whisper": each(lambda w: theirs_whisper(w, sampling_rate=SAMPLE_RATE_HZ)),
        "transformers wav2vec2-BERT": each(lambda w: theirs_bert(w, sampling_rate=SAMPLE_RATE_HZ)),
        "torchaudio, Kaldi": each(lambda w: kaldi_fbank(torch.from_numpy(w)[None], num_mel_bins=80)),
        "asrfront": each(asrfront.whisper.log_mel),
        "asrfront, 128 mels": each(partial(asrfront.whisper.log_mel, n_mels=128)),
        "faster-whisper": each(faster_whisper),
        "lhotse": each(lambda w: lhotse.extract(w, SAMPLE_RATE_HZ)),
        "kaldi-native-fbank": each(kaldi),
        "librosa": each(librosa_mel),
    }


if __name__ == "__main__":
    run(__doc__ or "", measure)
