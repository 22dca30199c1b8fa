"""The `payments` command, which works with every installed provider."""

from .app import main

__all__ = ["main"]
