"""Numbers as they are spoken: the transcripts of synthetic speech hold no digits."""

from __future__ import annotations

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int) -> str:
    """`342` is "three hundred and forty two". From 0 to 999,999."""
    if not 0 <= number < 1_000_000:
        raise ValueError(f"no words for {number}: from 0 to 999,999 only")
    if number >= 1000:
        thousands, rest = divmod(number, 1000)
        head = f"{cardinal(thousands)} thousand"
        if not rest:
            return head
        return f"{head} {'and ' if rest < 100 else ''}{cardinal(rest)}"
    if number >= 100:
        hundreds, rest = divmod(number, 100)
        head = f"{_ONES[hundreds]} hundred"
        return f"{head} and {cardinal(rest)}" if rest else head
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f" {_ONES[ones]}" if ones else "")


def ordinal(number: int) -> str:
    """`21` is "twenty first"."""
    head, _, last = cardinal(number).rpartition(" ")
    if last in _ORDINALS:
        last = _ORDINALS[last]
    elif last.endswith("y"):
        last = last[:-1] + "ieth"
    else:
        last += "th"
    return f"{head} {last}".strip()


def year(number: int) -> str:
    """`1987` is "nineteen eighty seven", `2026` "twenty twenty six", `2004` "two thousand and four"."""
    century, rest = divmod(number, 100)
    if 2000 <= number < 2010 or rest == 0:
        return cardinal(number) if number % 1000 < 100 else f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"
