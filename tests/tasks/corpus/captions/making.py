"""Caption files made byte by byte: EBU STL and SCC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.corpus.captions.parsed import ParsedCaptions
from tasks.corpus.captions.stl import parse_stl


@dataclass
class StlFile:
    """An EBU STL file; times are (seconds, frames)."""

    rate: str = "STL25.01"
    display: str = "1"
    table: str = "00"
    language: str = "09"
    start: str = "00000000"
    start_status: str = "1"
    blocks: list[bytes] = field(default_factory=list)

    def add(
        self,
        begin: tuple[int, int],
        end: tuple[int, int],
        text: bytes,
        *,
        cumulative: int = 0,
        comment: int = 0,
        extension: int = 0xFF,
        number: int | None = None,
    ) -> StlFile:
        number = len(self.blocks) if number is None else number
        codes = b"".join(bytes([s // 3600, s // 60 % 60, s % 60, frames]) for s, frames in (begin, end))
        head = bytes([0]) + number.to_bytes(2, "little") + bytes([extension, cumulative])
        self.blocks.append(head + codes + bytes([20, 2, comment]) + text.ljust(112, b"\x8f"))
        return self

    def data(self, n_declared: int | None = None) -> bytes:
        header = bytearray(b" " * 1024)
        fields = {
            0: "850", 3: self.rate, 11: self.display, 12: self.table, 14: self.language,
            238: f"{len(self.blocks) if n_declared is None else n_declared:05d}", 255: self.start_status,
            256: self.start,
        }  # fmt: skip
        for at, text in fields.items():
            header[at : at + len(text)] = text.encode()
        return bytes(header) + b"".join(self.blocks)

    def parse(self, language: str = "en") -> ParsedCaptions:
        return parse_stl(self.data(), language)


# SCC: control codes with their parity bits.
FRAME_S = 1001 / 30000
RCL, ENM, EOC, EDM, CR, RU2, RU3, RDC, TR, BS, DER = (
    "9420", "94ae", "942f", "942c", "94ad", "9425", "9426", "9429", "942a", "9421", "94a4",
)  # fmt: skip
ROW_14, ROW_15, ROW_15_INDENT_4 = "9440", "94e0", "94f2"


def text(characters: str) -> str:
    """Pairs of characters, with odd parity."""
    codes = characters.encode("ascii")
    codes += b"\0" * (len(codes) % 2)
    odd = bytes(code if code.bit_count() % 2 else code | 0x80 for code in codes)
    return " ".join(odd[at : at + 2].hex() for at in range(0, len(odd), 2))


def twice(*codes: str) -> str:
    return " ".join(f"{code} {code}" for code in codes)


def scc(*lines: tuple[str, str], header: str = "Scenarist_SCC V1.0") -> str:
    return "\n\n".join([header, *(f"{time}\t{pairs}" for time, pairs in lines)]) + "\n"


def pop_on(*rows: tuple[str, str], codes: Callable[..., str] = twice) -> str:
    written = " ".join(f"{codes(row)} {text(words)}" for row, words in rows)
    return f"{codes(RCL, ENM)} {written} {codes(EOC)}"
