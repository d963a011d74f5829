"""A language of tones that a tiny model learns in seconds, as real audio, features and datasets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import STEPS, Reason, Receipt
from tasks.corpus.feature_names import features_named
from tasks.dataset import flac
from tasks.dataset.manifest import LOCATIONS, DatasetManifest, Shard, Split
from tasks.dataset.schema import RowWriter, dataset_schema
from tasks.dataset.summary import Summary, Tally
from tasks.features.config import wav2vec2_bert
from tasks.progress import no_progress
from tasks.step import run_step

if TYPE_CHECKING:
    from mlflow import MlflowClient

LETTER_S = 0.12
TONES_HZ = {letter: 300.0 * 1.45**i for i, letter in enumerate("abcdefgh")}


def say(text: str, rng: np.random.Generator) -> np.ndarray:
    """`text` as tones, one a letter, with a pause for a space: float32 mono at 16 kHz."""
    n = int(LETTER_S * SAMPLE_RATE_HZ)
    time_s = np.arange(n) / SAMPLE_RATE_HZ
    window = np.hanning(n)
    pieces = [
        0.3 * window * np.sin(2 * np.pi * TONES_HZ[c] * rng.uniform(0.99, 1.01) * time_s) if c != " " else np.zeros(n)
        for c in text
    ]
    speech = np.concatenate([np.zeros(n), *pieces, np.zeros(n)])
    return (speech + rng.normal(0, 1e-3, len(speech))).astype(np.float32)


def sentence(rng: np.random.Generator) -> str:
    letters = list(TONES_HZ)
    words = ["".join(rng.choice(letters, size=rng.integers(2, 5), replace=False)) for _ in range(rng.integers(1, 5))]
    return " ".join(words)


def say_something(rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """Text and audio of a random utterance of tones."""
    text = sentence(rng)
    return text, say(text, rng)


def write_dataset(
    folder: Path,
    n_train: int = 48,
    n_test: int = 12,
    seed: int = 0,
    features: str = "parakeet-80-20ms",
    speech: Callable[[np.random.Generator], tuple[str, np.ndarray]] = say_something,
) -> str:
    """Write a dataset in the corpus' layout, three programmes a split; returns the URI of its manifest."""
    from tasks.features.logmel import LogMel

    rng = np.random.default_rng(seed)
    config = wav2vec2_bert() if features == "wav2vec2-bert" else features_named(features)
    folder.mkdir(parents=True, exist_ok=True)
    splits, kept, locations = {}, {}, {}
    for split, n in ((Split.TRAIN, n_train), (Split.VALIDATION, n_test), (Split.TEST, n_test)):
        path = folder / f"{split}.parquet"
        n_samples = 0
        logmel = LogMel(config)
        schema = dataset_schema(config.n_features, with_audio=True)
        with RowWriter(path, schema, max_rows=16, max_bytes=1 << 30) as writer:  # several row groups
            for i in range(n):
                text, samples = speech(rng)
                pcm = flac.to_pcm(samples)
                n_samples += len(pcm)
                writer.write(
                    {
                        "utterance_id": f"{split}-{i:04d}",
                        "programme_id": f"{split}-programme-{3 * i // n}",
                        "speaker": f"speaker-{i % 2}",
                        "text": text,
                        "duration_s": len(pcm) / SAMPLE_RATE_HZ,
                        "sample_rate_hz": SAMPLE_RATE_HZ,
                        "audio": flac.encode(pcm),
                        "input_features": logmel([flac.to_float(pcm)])[0].numpy().astype(np.float16),
                        "features_config": features,
                        "sha256": flac.digest(pcm),
                    }
                )
        name = f"{split}/00000.parquet"
        hours = n_samples / SAMPLE_RATE_HZ / 3600
        shard = Shard(name=name, sha256=storage.digest_file(path), bytes=path.stat().st_size, utterances=n, hours=hours)
        splits[split] = (shard,)
        kept[split] = Tally(count=n, ms=n_samples * 1000 // SAMPLE_RATE_HZ)
        locations[name] = storage.file_uri(path)
    manifest = DatasetManifest(
        name="tones",
        language="en",
        sample_rate_hz=SAMPLE_RATE_HZ,
        normaliser="none",
        features=features,
        features_config=json.loads(config.to_json()),
        splits=splits,
        kept=kept,
        programmes=dict.fromkeys(splits, 3),
        account=Summary(dropped={"prepare-corpus": {Reason.TOO_SHORT: Tally(count=2, ms=300)}}),
        configuration={},
    )
    uri = storage.file_uri(folder / "manifest.json")
    storage.write(storage.file_uri(folder / LOCATIONS), json.dumps(locations).encode())
    storage.write(uri, manifest.model_dump_json().encode())
    return uri


def write_parakeet(folder: Path, hidden_size: int = 48, n_layers: int = 1, seed: int = 0) -> Path:
    """A small Parakeet with random weights, in transformers' layout."""
    import torch

    from local.demo.base_model.model import export, make_model

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    export(make_model(hidden_size=hidden_size, n_layers=n_layers), folder)
    return folder


def registry(store: str, name: str, n_versions: int) -> MlflowClient:
    """A registered model whose versions have no weights."""
    from mlflow import MlflowClient

    client = MlflowClient(store)
    client.create_registered_model(name)
    for number in range(n_versions):
        client.create_model_version(name, f"file:///nowhere/{number}")
    return client


def write_wav2vec2_bert(folder: Path, seed: int = 0) -> Path:
    """A wav2vec2-BERT of one small layer with random weights over the letters of the tones."""
    import torch
    from transformers import (
        SeamlessM4TFeatureExtractor,
        Wav2Vec2BertConfig,
        Wav2Vec2BertForCTC,
        Wav2Vec2BertProcessor,
        Wav2Vec2CTCTokenizer,
    )

    folder.mkdir(parents=True)
    letters = ["<pad>", "<unk>", "|", "'", *(chr(ord("a") + i) for i in range(26))]
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    torch.manual_seed(seed)
    model = Wav2Vec2BertForCTC(
        Wav2Vec2BertConfig(
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            conv_depthwise_kernel_size=5,
        )
    )
    model.save_pretrained(folder)
    extractor = SeamlessM4TFeatureExtractor()
    Wav2Vec2BertProcessor(extractor, tokenizer).save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def write_whisper(folder: Path, seed: int = 0) -> Path:
    """A Whisper of one small layer each way with random weights: upstream's special tokens over single bytes."""
    import torch
    from tokenizers import AddedToken, pre_tokenizers
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    tokenizer = WhisperTokenizer(vocab={c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))})
    specials = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>"]
    specials += ["<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    tokenizer.add_tokens([AddedToken(token, special=True) for token in specials])
    tokenizer.add_tokens([AddedToken(f"<|{i * 0.02:.2f}|>") for i in range(1501)])
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in specials}
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(tokenizer),
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            pad_token_id=end,
            bos_token_id=end,
            eos_token_id=end,
            decoder_start_token_id=start,
        )
    )
    model.generation_config = GenerationConfig(
        is_multilingual=True,
        lang_to_id={token: ids[token] for token in ("<|en|>", "<|de|>")},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        decoder_start_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
        max_length=40,
    )
    model.save_pretrained(folder)
    extractor = WhisperFeatureExtractor()
    WhisperProcessor(extractor, tokenizer).save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def configured(folder: Path, settings: dict[str, object]) -> Path:
    """A saved model with other settings."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    return folder


class Steps:
    """Runs steps by name; outputs lie under `folder/work/<step>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, step: str, /, **arguments: object) -> Receipt:
        definition = STEPS[step]
        output = storage.file_uri(self.folder / "work" / step)
        return run_step(definition, definition.arguments(output=output, **arguments), no_progress)


def use_mlflow(empty: Path, folder: Path, environment: pytest.MonkeyPatch) -> str:
    """Make a store in `folder`, with artifacts beside it, and point the environment at it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(empty, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    environment.setenv("MLFLOW_TRACKING_URI", uri)
    environment.delenv("MLFLOW_REGISTRY_URI", raising=False)
    # URIs that MLflow remembers from earlier tests of this process take precedence over the environment.
    environment.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)
    environment.setattr("mlflow.tracking._model_registry.utils._registry_uri", None)
    return uri
