"""Run the `payments` command with `python -m payments_core.cli`."""

import sys

from .app import main

if __name__ == "__main__":
    sys.exit(main())
