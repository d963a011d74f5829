"""The programme's page with four hours: 40,000 words and 12 speakers, in Chromium.

Measured: from the click on the link until the text can be typed into; a keystroke until it is painted, in the middle of
the text; scrolling through it all, and whether a screen was ever blank; the browser's memory; saving until every format
is published. One peer is the same text in one plain `contenteditable`, drawn by the same browser without this page's
script: what a browser itself takes. The other is BBC's react-transcript-editor, where npm can build it, with a quarter
of the programme: with all of it, its page ends for lack of memory after minutes.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.support import bbc_editor
from benchmarks.support.desk_server import DeskServer, serve_desk
from benchmarks.support.harness import Report, Row, make_report, run
from local.chromium import find_chromium
from tasks import storage
from tasks.publishing.transcripts import publish_transcript
from tasks.transcripts.document import Coverage, Media, Provenance, Segment, Speaker, Transcript, Word, WordTiming

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOURS, WORDS, SPEAKERS, KEYSTROKES = 4, 40_000, 12, 40
VIEWPORT = {"width": 1360, "height": 900}
NAME, KEY, PEER = "four-hours", "cd34" * 16, "a plain contenteditable"
BBC, BBC_HOURS = "react-transcript-editor, 1 hour", 1
BBC_TIMEOUT_MS = 300_000
# Typed at a steady pace: from the event of the key to the frame that shows its letter.
MEASURE_KEYS = """() => {
  window.paints = [];
  addEventListener("keydown", (event) => {
    const start = event.timeStamp;
    requestAnimationFrame(() => {
      const channel = new MessageChannel(); // its message comes right after the frame was drawn
      channel.port1.onmessage = () => window.paints.push(performance.now() - start);
      channel.port2.postMessage(null);
    });
  }, true);
}"""
SCROLL = """async () => {
  let blank = 0, screens = 0;
  const height = document.documentElement.scrollHeight;
  for (let y = 0; y < height; y += innerHeight * 3) {
    scrollTo(0, y);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const node = document.elementFromPoint(innerWidth / 3, innerHeight / 2);
    screens++;
    if (!node?.closest("#text")?.textContent || !node.getBoundingClientRect().height) blank++;
  }
  return [blank, screens];
}"""


def programme(hours: int) -> Transcript:
    """A transcript of so many hours with turns of 4 to 60 words; one word in ten is doubtful."""
    n_words = hours * WORDS // HOURS
    draw = random.Random(22)
    lexicon = [f"{a}{b}" for a in ("ba", "re", "sto", "mi", "lu", "con") for b in ("ter", "n", "ling", "da", "rious")]
    word_ms = HOURS * 3_600_000 // WORDS
    segments, at, speaker = [], 0, 0
    while at < n_words:
        speaker = (speaker + draw.randrange(1, SPEAKERS)) % SPEAKERS
        name = f"S{speaker + 1}"
        words = tuple(
            Word(
                text=draw.choice(lexicon),
                start_ms=n * word_ms,
                end_ms=(n + 1) * word_ms - 40,
                confidence=0.3 if draw.random() < 0.1 else 0.95,
                speaker=name,
                timing=WordTiming.CTC,
            )
            for n in range(at, min(at + draw.randrange(4, 60), n_words))
        )
        at += len(words)
        start_ms, end_ms = words[0].start_ms, words[-1].end_ms
        segments.append(Segment(start_ms=start_ms, end_ms=end_ms, speaker=name, suspect=False, words=words))
    duration_ms = hours * 3_600_000
    return Transcript(
        media=Media(uri="file:///inbox/four-hours.wav", sha256=KEY, duration_ms=duration_ms),
        provenance=Provenance(model_name="-", model_version="-", engine="-", code_version="-", normaliser="-"),
        language="en",
        speakers=tuple(Speaker(id=f"S{n + 1}") for n in range(SPEAKERS)),
        segments=tuple(segments),
        coverage=Coverage(speech_ms=duration_ms, covered_ms=duration_ms, redecoded_ms=0),
    )


def browser_mib() -> dict[str, float]:
    """Memory of the browser's processes by kind, shared pages divided among those that share them (PSS)."""
    used: Counter[str] = Counter()
    for process in psutil.Process().children(recursive=True):
        try:
            if "chrom" not in process.name():
                continue
            kinds = [part.removeprefix("--type=") for part in process.cmdline() if part.startswith("--type=")]
            used[kinds[0] if kinds else "browser"] += process.memory_full_info().pss
        except psutil.Error:
            continue
    return {kind: size / 2**20 for kind, size in used.items()}


def page_mib(page: Page) -> tuple[float, int]:
    """Memory of the page's own objects after a garbage collection, and its number of nodes."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return metrics["JSHeapUsedSize"] / 2**20, int(metrics["Nodes"])


def keystrokes_ms(page: Page) -> list[float]:
    """Type letters and spaces where the caret is; return the time to paint each."""
    page.evaluate(MEASURE_KEYS)
    for n in range(KEYSTROKES):
        page.keyboard.press("Space" if n % 6 == 5 else "e")
        page.wait_for_timeout(60)
    return list(page.evaluate("window.paints"))


def at_percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measure() -> Report:
    from playwright.sync_api import sync_playwright

    document = programme(HOURS)
    with tempfile.TemporaryDirectory(prefix="airscript-desk-") as folder, sync_playwright() as playwright:
        publish_transcript(document, NAME, KEY, storage.file_uri(Path(folder)))
        # One window with one tab, as a person has it: a second renderer would count as the page's memory.
        window = playwright.chromium.launch_persistent_context(
            Path(folder) / "browser", executable_path=find_chromium(), args=["--no-sandbox"], viewport=VIEWPORT
        )
        page = window.pages[0]
        page.set_default_timeout(120_000)
        with serve_desk(folder) as server:
            window.add_cookies([server.cookie("ada")])
            quantities, ours = measure_page(page, server)
        plain = measure_plain(page, document)
        quantities[f"{PEER}: keystroke to paint p95, ms"] = at_percentile(plain, 0.95)
        rows = [("airscript", ours), (PEER, plain)]
        if editor := bbc_editor.build(programme(BBC_HOURS), Path(folder) / "bbc"):
            found, theirs = measure_bbc(page, editor)
            quantities |= found
            rows.append((BBC, theirs))
        window.close()
    what = f"typing into {HOURS} hours: {WORDS:,} words, {SPEAKERS} speakers"
    notes = [] if len(rows) > 2 else ["react-transcript-editor was not measured: npm is not installed"]
    table = [_row(name, times, plain) for name, times in rows]
    return make_report("desk", what, "keystrokes a second", PEER, ("playwright", "fastapi"), table, notes, quantities)


def _row(name: str, times_ms: list[float], peer_ms: list[float]) -> Row:
    median_s = statistics.median(times_ms) / 1000
    ratio = statistics.median(peer_ms) / statistics.median(times_ms)
    return Row(name, median_s, (min(times_ms) / 1000, max(times_ms) / 1000), 1 / median_s, ratio)


def measure_page(page: Page, server: DeskServer) -> tuple[dict[str, float], list[float]]:
    """Return the quantities of the page, and its keystrokes in milliseconds."""
    url = f"{server.url}programmes/{NAME}/{KEY[:12]}/"
    ready_s = [opened_s(page, url) for _ in range(3)]
    page.locator(".turn p").nth(page.locator(".turn p").count() // 2).click()
    times = keystrokes_ms(page)
    blank, screens = page.evaluate(SCROLL)
    began = time.perf_counter()
    page.keyboard.press("Control+s")
    page.locator("#state.good").wait_for()
    saved_s = time.perf_counter() - began
    heap_mib, nodes = page_mib(page)
    by_kind = browser_mib()
    quantities = {
        "ready to type, s": statistics.median(ready_s),
        "keystroke to paint p50, ms": statistics.median(times),
        "keystroke to paint p95, ms": at_percentile(times, 0.95),
        "blank screens while scrolling": blank,
        "screens scrolled": screens,
        "browser memory, MiB": sum(by_kind.values()),
        **{f"of these {kind}, MiB": used for kind, used in sorted(by_kind.items())},
        "JavaScript heap, MiB": heap_mib,
        "nodes": nodes,
        "saved in all formats, s": saved_s,
    }
    return quantities, times


def opened_s(page: Page, url: str) -> float:
    began = time.perf_counter()
    page.goto(url)
    page.locator("html[data-ready]").wait_for(state="attached")
    return time.perf_counter() - began


def measure_bbc(page: Page, editor: Path) -> tuple[dict[str, float], list[float]]:
    """The quantities of BBC's editor, and its keystrokes in milliseconds."""
    page.set_default_timeout(BBC_TIMEOUT_MS)
    began = time.perf_counter()
    page.goto(editor.as_uri())
    blocks = page.locator("[data-block]")
    blocks.first.wait_for()
    ready_s = time.perf_counter() - began
    blocks.nth(blocks.count() // 2).click()
    times = keystrokes_ms(page)
    page_mib(page)  # collects garbage
    quantities = {
        "ready to type, s": ready_s,
        "keystroke to paint p95, ms": at_percentile(times, 0.95),
        "browser memory, MiB": sum(browser_mib().values()),
    }
    return {f"{BBC}: {name}": value for name, value in quantities.items()}, times


def measure_plain(page: Page, document: Transcript) -> list[float]:
    """Keystrokes in the same words in one editable element."""
    page.goto("about:blank")
    page.set_content("<div id=text contenteditable=plaintext-only></div>")
    page.evaluate(
        """(turns) => {
          const make = (turn) => Object.assign(document.createElement("p"), {textContent: turn});
          document.getElementById("text").append(...turns.map(make));
        }""",
        [" ".join(word.text for word in segment.words) for segment in document.segments],
    )
    page.locator("p").nth(len(document.segments) // 2).click()
    return keystrokes_ms(page)


if __name__ == "__main__":
    run(__doc__ or "", measure)
