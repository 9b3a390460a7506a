"""Run every benchmark with --check, one after the other, and sum up which ratios have held."""

import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent


def benchmarks() -> list[Path]:
    """Return the scripts of this folder that record what they measure."""
    return [
        script
        for script in sorted(FOLDER.glob("*.py"))
        if "\nfrom record import " in script.read_text(encoding="utf-8")
    ]


def main() -> None:
    rows = ["| benchmark | s | |", "|---|---:|---|"]
    failed = 0
    for script in benchmarks():
        print(f"\n{script.name}\n", flush=True)
        start = time.perf_counter()
        code = subprocess.run([sys.executable, script, "--check"], check=False).returncode
        failed += code != 0
        seconds = time.perf_counter() - start
        rows.append(f"| {script.name} | {seconds:.0f} | {'failed' if code else 'held'} |")
    print("\n" + "\n".join(rows))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
