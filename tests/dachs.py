"""A GAVO DaCHS server with the tables of the stand-in archive, since nobody here has written it.

    apt-get install gavodachs2-server     # with a PostgreSQL that runs
    python tests/dachs.py                 # as root: serves until it is stopped

The tests of `tests/sources/archive/test_dachs.py` find it on port 8080 of loopback.
"""

import shutil
import subprocess
from pathlib import Path

from gaia_archive import TABLES, sample

URL = "http://127.0.0.1:8080"
INPUTS = Path("/var/gavo/inputs/gaiadr3")

_TYPES = {"int64": "bigint", "float64": "double precision", "bool": "boolean"}
_HEAD = """<resource schema="gaiadr3">
<meta name="title">Stars of a test</meta><meta name="description">Made-up stars</meta>
<meta name="creationDate">2026-01-01T00:00:00Z</meta><meta name="subject">variable-stars</meta>
<meta name="creator">rrl_batch</meta>
"""


def main() -> None:
    """Publish the tables and serve them."""
    stars, _ = sample(60, seed=5)
    (INPUTS / "data").mkdir(parents=True, exist_ok=True)
    resource = _HEAD
    for table, columns in TABLES.items():
        own = stars[columns]
        own.to_csv(INPUTS / "data" / f"{table}.csv", index=False)
        resource += f'<table id="{table}" onDisk="True" adql="True">\n'
        for name, dtype in own.dtypes.items():
            kind = _TYPES.get(str(dtype), "text")
            null = '<values nullLiteral="-1"/>' if kind == "bigint" else ""
            resource += f'<column name="{name}" type="{kind}" ucd="meta.code">{null}</column>\n'
        resource += (
            f'</table>\n<data id="import_{table}"><sources pattern="data/{table}.csv"/>'
            f'<csvGrammar/><make table="{table}"><rowmaker idmaps="*"/></make></data>\n'
        )
    (INPUTS / "q.rd").write_text(f"{resource}</resource>\n")
    subprocess.run(["/usr/bin/chown", "-R", "dachsroot:gavo", str(INPUTS)], check=True)
    for command in ("imp gaiadr3/q", "serve debug"):
        su = shutil.which("su") or "su"
        subprocess.run([su, "dachsroot", "-c", f"dachs {command}"], check=True)


if __name__ == "__main__":
    main()
