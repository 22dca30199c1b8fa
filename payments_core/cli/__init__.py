"""The `payments` command: everything in it works on whichever providers are installed, and knows none of them."""

from .app import main

__all__ = ["main"]
