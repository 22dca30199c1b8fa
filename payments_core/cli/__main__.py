"""`python -m payments_core.cli`: the `payments` command where no script was installed."""

import sys

from .app import main

if __name__ == "__main__":
    sys.exit(main())
