"""A decoder's process that runs code of a test where it would decode, as code that a hostile file smuggled in would."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path


def write_acting_child(folder: Path, body: str, setup: str = "") -> Path:
    """Write the program to start instead of Python: `body` runs with `media`, `request` and `output`.

    `setup` runs before the fork server is confined. `decode` is the decoder's own function.
    """
    path = folder / "child"
    path.write_text(
        f"#!{sys.executable}\n"
        "import ctypes, errno, json, mmap, os, signal, socket, struct, sys, threading, time\n"
        "from pathlib import Path\n"
        "from tasks.media.decoding import isolated_child\n"
        "decode = isolated_child.send_decoded\n"
        f"{textwrap.dedent(setup)}\n"
        "def act(media, request, output):\n"
        f"{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
        "isolated_child.send_decoded = act\n"
        "sys.argv[1:] = sys.argv[-1:]\n"
        "sys.exit(isolated_child.main())\n"
    )
    path.chmod(0o755)
    return path
