"""A writer of JSON Lines manifests, NeMo's and lhotse's."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from typing import Any

from benchmarks.support.captions.script import Cue, Fault, with_ruby


def write_manifest(cues: Sequence[Cue], media: str, rng: random.Random, *, is_lhotse: bool, is_gzip: bool) -> bytes:
    """Write one line for each cue."""
    lines = [_line(number, cue, media, is_lhotse, rng) for number, cue in enumerate(cues)]
    data = "".join(lines).encode()
    return gzip.compress(data, mtime=0) if is_gzip else data


def _line(number: int, cue: Cue, media: str, is_lhotse: bool, rng: random.Random) -> str:
    start_s, duration_s = cue.start_ms / 1000, (cue.end_ms - cue.start_ms) / 1000
    match cue.fault:
        case Fault.NO_LENGTH:
            duration_s = 0.0
        case Fault.BACKWARDS:
            duration_s = -duration_s
        case Fault.LOST_TIMES:
            return '{"text": "a line that was cut\n'
    text = "\n".join(with_ruby(line, r"\1") for line in cue.lines)
    record: dict[str, Any] = {"audio_filepath": media, "offset": start_s, "duration": duration_s, "text": text}
    if is_lhotse:
        before_s = min(start_s, 0.5)
        record = {
            "id": f"cut-{number}",
            "type": "MonoCut",
            "start": start_s - before_s,
            "duration": before_s + max(duration_s, 0) + 0.5,
            "channel": 0,
            "supervisions": [{"start": before_s, "duration": duration_s, "text": text, "speaker": str(cue.speaker)}],
            "recording": {"id": media, "sources": [{"type": "file", "channels": [0], "source": media}]},
        }
    return json.dumps(record, ensure_ascii=rng.random() < 0.5) + "\n"
