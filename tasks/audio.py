"""The sample rate of all acoustic models here, and constants derived from it."""

from __future__ import annotations

SAMPLE_RATE_HZ = 16_000  # every acoustic model here takes 16 kHz mono
SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1_000  # 16
