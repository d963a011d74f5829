"""BBC's react-transcript-editor with one transcript, as a page in a folder: npm's packages, bundled by esbuild."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import soundfile

from tasks.audio import SAMPLE_RATE_HZ
from tasks.transcripts.document import Transcript

PACKAGES = {"@bbc/react-transcript-editor": "1.4.4", "esbuild": "0.25.12", "react": "16.14.0", "react-dom": "16.14.0"}
SCRIPT = """
import React from "react";
import { render } from "react-dom";
import TranscriptEditor from "@bbc/react-transcript-editor/TranscriptEditor";

render(
  React.createElement(TranscriptEditor, {
    transcriptData: window.transcript, sttJsonType: "digitalpaperedit", mediaUrl: "silence.wav", isEditable: true,
    spellCheck: false, title: "programme", fileName: "programme", mediaType: "audio", autoSaveContentType: "draftjs",
  }),
  document.getElementById("editor"),
);
"""
PAGE = """<!doctype html><meta charset="utf-8"><div id="editor"></div>
<script src="transcript.js"></script><script src="bundle.js"></script>"""


def build(transcript: Transcript, folder: Path) -> Path | None:
    """Build the page; None where npm is not installed.

    Raises:
        RuntimeError: npm or esbuild failed; the message has its output.
    """
    npm = shutil.which("npm")
    if npm is None:
        return None
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": PACKAGES}))
    (folder / "main.js").write_text(SCRIPT)
    # The editor shows no text without media.
    soundfile.write(folder / "silence.wav", np.zeros(SAMPLE_RATE_HZ, np.float32), SAMPLE_RATE_HZ)
    (folder / "transcript.js").write_text(f"window.transcript = {json.dumps(_digital_paper_edit(transcript))};")
    _run(folder, npm, "install", "--no-audit", "--no-fund", "--legacy-peer-deps", "--ignore-scripts")
    esbuild = folder / "node_modules" / ".bin" / "esbuild"
    _run(folder, str(esbuild), "main.js", "--bundle", "--outfile=bundle.js", "--define:global=window")
    page = folder / "index.html"
    page.write_text(PAGE)
    return page


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def _digital_paper_edit(transcript: Transcript) -> dict[str, list[dict[str, object]]]:
    """One of the formats that the editor reads; times in seconds."""
    return {
        "words": [
            {"id": n, "start": word.start_ms / 1000, "end": word.end_ms / 1000, "text": word.text}
            for n, word in enumerate(transcript.words)
        ],
        "paragraphs": [
            {"id": n, "start": segment.start_ms / 1000, "end": segment.end_ms / 1000, "speaker": segment.speaker}
            for n, segment in enumerate(transcript.segments)
        ],
    }
