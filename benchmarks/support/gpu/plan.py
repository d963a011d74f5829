"""What the parts of the GPU benchmark are given, and what they give back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plan:
    """Where to measure, and how much."""

    device: str
    """`cuda`; in the tiny form also `cpu`."""
    is_tiny: bool
    """The smallest models and seconds of audio: whether everything runs, not how fast."""
    folder: Path
    """For models and data."""
    whisper: Path | None = None
    """A trained Whisper; without one, the installed base, or else one of its size with random weights."""
    diarizer: Path | None = None
    """A diarizer's folder; without one, the installed one, or else the one in the repository."""

    @property
    def is_cuda(self) -> bool:
        return self.device == "cuda"

    def installed(self, name: str) -> Path | None:
        """The folder of weights that `python -m local.weights` installed; None without them and in the tiny form."""
        if self.is_tiny:
            return None
        from local import weights

        return weights.folder(name)


@dataclass(frozen=True)
class Figure:
    """One measured quantity."""

    part: str
    what: str
    value: float
    unit: str
    at_least: float | None = None
    """The bar, if there is one."""
    at_most: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.value <= self.at_most if self.at_most is not None else None


def compared(part: str, what: str, seconds: dict[str, float], work_s: float, at_least: float | None) -> list[Figure]:
    """The rates of ours and a peer over `work_s` of audio, and their ratio. `seconds`: by name, ours first."""
    (ours, ours_s), (peer, peer_s) = seconds.items()
    return [
        Figure(part, f"{what}: {ours}", work_s / ours_s, "x real time"),
        Figure(part, f"{what}: {peer}", work_s / peer_s, "x real time"),
        Figure(part, f"{what}: ratio", peer_s / ours_s, "x", at_least=at_least),
    ]
