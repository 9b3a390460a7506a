"""The commands; each reads its arguments, connects to a cluster and calls the pipeline."""

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Sequence

from rrl_batch import __version__
from rrl_batch.cli import catalogues, jobs, models, surveys
from rrl_batch.errors import RunError, UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words of the command line; those of the process if not given.

    Returns
    -------
    int
        0 if all went well, 1 for a failure, 2 for a mistake of the user's.
    """
    # TensorFlow speaks of what is not for users; two lines it writes before it reads this
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    words = sys.argv[1:] if arguments is None else arguments
    options = make_parser().parse_args(words)
    options.line = shlex.join(["rrl-batch", *words])
    warnings = _BesideProgress()
    warnings.setLevel(logging.WARNING)
    logging.getLogger("rrl_batch").addHandler(warnings)
    try:
        return int(options.command(options) or 0)
    except UserError as error:
        print(f"rrl-batch: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"rrl-batch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rrl-batch: stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    except Exception as error:
        if options.traceback:
            raise
        kind = type(error).__name__
        print(f"rrl-batch: failed ({kind}: {error}); --traceback shows where.", file=sys.stderr)
        return 1


class _BesideProgress(logging.Handler):
    """Prints messages above the progress line, which goes on below."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stderr)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="rrl-batch",
        description="Metallicities of RR Lyrae stars from their light curves, for whole surveys.",
    )
    parser.add_argument("--version", action="version", version=f"rrl-batch {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where a failure happened")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (surveys, models, catalogues, jobs):
        group.add_commands(commands)
    return parser
