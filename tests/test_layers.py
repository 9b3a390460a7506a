"""The package's structure: imports go one way, and light modules stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "rrl_batch"

# a part may import from itself and from the parts before it
LAYERS = [
    "errors", "contracts", "storage", "lightcurve", "survey", "sources", "models", "training",
    "inference", "catalogue", "experiment", "report", "job", "cluster", "tasks", "stages", "bags",
    "experiments", "flow", "run", "driver", "doctor", "cli", "__main__",
]  # fmt: skip


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def part(module: str) -> str:
    return module.split(".")[1]


def files() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    own = LAYERS.index(path.relative_to(PACKAGE).parts[0].removesuffix(".py"))
    used = {part(m) for m in imports(path) if m.startswith("rrl_batch.") and part(m) in LAYERS}
    assert {name for name in used if LAYERS.index(name) > own} == set()


@pytest.mark.parametrize("folder", [
    "contracts", "storage", "lightcurve", "models", "training", "experiment",
])  # fmt: skip
def test_the_parts_that_compute_know_nothing_of_dask(folder):
    for path in (PACKAGE / folder).rglob("*.py"):
        assert not {m for m in imports(path) if m.split(".")[0] in ("dask", "distributed")}, path


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from rrl_batch.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'numpy', 'pandas', 'dask', 'keras', 'pyarrow', 'numba', 'pydantic', 'rich'}\n"
        "print(heavy & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"
    assert "predict" in done.stdout


def test_what_every_worker_imports_is_without_what_few_tasks_need():
    code = (
        "import sys, rrl_batch.run, rrl_batch.tasks\n"
        "rare = {'sklearn', 'scipy.stats', 'scipy.optimize', 'keras', 'hats', 'matplotlib'}\n"
        "print(rare & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
