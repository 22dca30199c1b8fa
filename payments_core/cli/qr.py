"""Draw a QR code in the terminal."""

from __future__ import annotations

import os
import shutil
from typing import Final, TextIO

__all__ = ["draw"]

_QUIET_ZONE: Final = 2
# By the upper and the lower module: True is dark. The characters are light, on a dark background.
_BLOCKS: Final = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
_LIGHT_ON_DARK: Final = "\x1b[97;40m"
_RESET: Final = "\x1b[0m"


def draw(content: str, stream: TextIO) -> tuple[str, str]:
    """Return a drawing of `content` for `stream`, and a remark about it; each may be `""`."""
    try:
        import segno
    except ImportError:
        return "", "(no QR code: this needs segno: pip install 'payments-core[cli]')"
    try:
        code = segno.make_qr(content, error="l")
    except ValueError:
        return "", "(no QR code: the content is too long)"
    modules = [[bool(module) for module in row] for row in code.matrix_iter(border=_QUIET_ZONE)]
    lines = _half_blocks(modules) if _has_blocks(stream) else _letters(modules)
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        # Set both colours: many readers do not read an inverted code.
        lines = [f"{_LIGHT_ON_DARK}{line}{_RESET}" for line in lines]
    width, columns = len(modules) * (1 if _has_blocks(stream) else 2), shutil.get_terminal_size().columns
    narrow = stream.isatty() and columns < width
    remark = (
        f"(the terminal has {columns} columns and the code needs {width}: widen it to scan the code)" if narrow else ""
    )
    return "\n".join(lines), remark


def _half_blocks(modules: list[list[bool]]) -> list[str]:
    below = [*modules[1:], [False] * len(modules)]
    return [
        "".join(_BLOCKS[pair] for pair in zip(top, bottom, strict=True))
        for top, bottom in zip(modules[::2], below[::2], strict=True)
    ]


def _letters(modules: list[list[bool]]) -> list[str]:
    return ["".join("  " if module else "##" for module in row) for row in modules]


def _has_blocks(stream: TextIO) -> bool:
    try:
        "█▀▄".encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
