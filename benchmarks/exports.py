"""How long each export of a catalogue takes: `python benchmarks/exports.py CATALOGUE`.

VOTable is compared with astropy's own writer, which takes a row at a time.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from astropy.table import Table

from rrl_batch.catalogue.export import ENDINGS, export
from rrl_batch.catalogue.verify import read_catalogue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("catalogue", type=Path)
    catalogue = parser.parse_args().catalogue
    rows = read_catalogue(catalogue)
    print(f"{len(rows):,} stars")
    with TemporaryDirectory() as folder:
        for ending in ENDINGS:
            seconds = timed(export, catalogue, Path(folder) / f"sky{ending}")
            print(f"{ending:<10} {seconds:6.1f} s")
        table = Table.from_pandas(rows)
        target = Path(folder) / "astropy.vot"
        seconds = timed(table.write, target, format="votable", tabledata_format="binary2")
        print(f"{'astropy':<10} {seconds:6.1f} s, VOTable")


def timed(function: Callable[..., object], *args: object, **options: object) -> float:
    start = time.perf_counter()
    function(*args, **options)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
