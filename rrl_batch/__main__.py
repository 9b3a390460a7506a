"""Run a command: ``python -m rrl_batch`` is ``rrl-batch``."""

import sys

from rrl_batch.cli import main

if __name__ == "__main__":
    sys.exit(main())
