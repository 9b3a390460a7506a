"""The example notebook runs from top to bottom, on the cluster that the tests have already."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples/step_by_step.ipynb"


def outputs(notebook, kind):
    """Return what the cells show of one kind."""
    found = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return [output["data"][kind] for output in found if kind in output.get("data", {})]


# of the kernel's client: it speaks to a process of its own on loopback, and lets a socket be
# collected
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_the_example_runs(client, tmp_path, monkeypatch):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", client.scheduler.address)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, nbformat.NO_CONVERT)
    assert not outputs(notebook, "text/plain")  # it is kept without its outputs
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    text = "\n".join(outputs(notebook, "text/plain"))
    assert "1,500 SYNTHETIC stars in " in text
    assert "3 x gp on " in text
    assert "<LightCurveBatch: " in text
    assert len(outputs(notebook, "image/png")) == 2  # light curves, and the Bailey diagram
