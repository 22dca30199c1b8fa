"""Render a sandbox's pages, on which a person plays the shopper: no scripts, and nothing loaded."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import Final

from starlette.responses import HTMLResponse, Response

__all__ = ["facts", "page"]

_STYLE: Final = """
body { font: 1.1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #f4f5f7; margin: 0 }
main { max-width: 26rem; margin: 2rem auto; padding: 1.5rem; background: #fff; border: 1px solid #d0d3d9;
  border-radius: .75rem }
h1 { font-size: 1.3rem; margin: 0 0 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0 0 1.5rem }
dt { color: #54585f }
dd { margin: 0; overflow-wrap: anywhere }
.amount { font-size: 1.6rem; font-weight: 600 }
button { display: block; width: 100%; font: inherit; padding: .75rem; margin: .5rem 0; border-radius: .5rem;
  border: 2px solid #0b57d0; background: #fff; color: #0b57d0; cursor: pointer }
button.primary { background: #0b57d0; color: #fff }
button:focus-visible, a:focus-visible { outline: 3px solid #f9ab00; outline-offset: 2px }
[role=status] { font-weight: 600 }
footer { color: #54585f; font-size: .9rem }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def facts(*rows: tuple[str, str]) -> str:
    """Return a list of names and escaped values as HTML, without the empty ones."""
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in rows if value)}</dl>"


def page(title: str, content: str, status: int = 200, *, leads_to: Sequence[str] = ()) -> Response:
    """Return a page. `content` is HTML; its forms post here and to the origins `leads_to`, as a CSP names them."""
    forms = " ".join(("'self'", *leads_to))
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} (sandbox)</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{content}
<footer><p>A sandbox on this machine: no money moves here.</p></footer>
</main>
</body>
</html>
""",
        status,
        {
            "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none';"
            f" frame-ancestors 'none'; form-action {forms}",
            "X-Content-Type-Options": "nosniff",
            # Not no-referrer: with that, browsers send `Origin: null` with the page's own form.
            "Referrer-Policy": "same-origin",
            "Cache-Control": "no-store",
        },
    )
