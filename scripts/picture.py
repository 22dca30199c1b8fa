"""Write docs/demo.svg, a picture of `payments demo` in a terminal: `python scripts/picture.py`.

The demo is run, and what it prints is drawn. Only what differs from run to run (ports, ids, the time) is replaced.
"""

from __future__ import annotations

import html
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from payments_core.cli.qr import draw

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "demo.svg"

SAME_IN_EVERY_RUN: Final = (
    (r"(at http://127\.0\.0\.1):\d+(/webhook)", r"\1:8000\2"),
    (r"127\.0\.0\.1:(?!8000)\d+", "127.0.0.1:8801"),
    (r"\bDEMO[0-9A-F]{16}", "DEMO0A1B2C3D4E5F6071"),
    (r"\bC\d{21}", "C920629633140853059130"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-11-27 20:15:00"),
)
QR_CODE: Final = re.compile(r"(?:^[█▀▄ ]{21,}\n)+", re.MULTILINE)
WALLET: Final = re.compile(r"the shopper's browser to (\S+)")

# In pixels: a character's width and a line's height, and the space around the text.
WIDTH, HEIGHT, MARGIN = 7.2, 16, 16
STYLE: Final = "font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre"
DARK, LIGHT, STEP = "#0d1117", "#e6edf3", "#7ee787"


def printed() -> str:
    """Run the demo, and return what it printed, the same in every run."""
    demo = [sys.executable, "-X", "utf8", "-m", "payments_core.cli", "demo"]
    text = subprocess.run(demo, check=True, capture_output=True, encoding="utf-8").stdout
    for pattern, replacement in SAME_IN_EVERY_RUN:
        text = re.sub(pattern, replacement, text)
    (wallet,) = WALLET.findall(text)
    code, _ = draw(wallet, io.StringIO())
    text, codes = QR_CODE.subn(f"{code}\n", text)
    if not code or codes != 1:
        raise SystemExit("the demo drew no QR code")
    return f"$ payments demo\n{text}"


def picture() -> str:
    """Return the picture of what the demo prints."""
    lines = printed().splitlines()
    width = round(max(map(len, lines)) * WIDTH + 2 * MARGIN)
    height = len(lines) * HEIGHT + 2 * MARGIN
    drawing = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        "<title>payments demo, in a terminal</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{DARK}"/>',
        f'<g style="{STYLE}">',
    ]
    for number, line in enumerate(lines):
        top = MARGIN + number * HEIGHT
        drawing += _modules(line, top) if QR_CODE.match(f"{line}\n") else _words(line, top + HEIGHT - 4)
    return "\n".join([*drawing, "</g>", "</svg>", ""])


def _words(line: str, baseline: int) -> list[str]:
    """Draw each part of a line where a terminal has it, however wide the reader's font is."""
    drawing = []
    for part in re.finditer(r"\S+(?: \S+)*", line):
        x, length = MARGIN + part.start() * WIDTH, len(part[0]) * WIDTH
        colour = STEP if re.match(r"\w+ {2,}", line) and part.start() == 0 else LIGHT
        place = f'x="{x:.1f}" y="{baseline}" textLength="{length:.1f}"'
        drawing.append(f'<text {place} fill="{colour}">{html.escape(part[0])}</text>')
    return drawing


def _modules(line: str, top: int) -> list[str]:
    """Draw a line of the QR code as rectangles: between the blocks of a font there can be gaps."""
    half, path = HEIGHT / 2, ""
    for blocks, y in (("█▀", top), ("█▄", top + half)):
        for run in re.finditer(f"[{blocks}]+", line):
            x, length = MARGIN + run.start() * half, len(run[0]) * half
            path += f"M{x:g} {y:g}h{length:g}v{half:g}h-{length:g}z"
    return [f'<path d="{path}" fill="{LIGHT}" shape-rendering="crispEdges"/>']


if __name__ == "__main__":
    PAGE.write_text(picture(), "utf-8")
