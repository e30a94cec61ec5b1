"""`python -m lvm_probe` is the `probe` command."""

import sys

from lvm_probe.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
