"""The page is whole in itself, accessible, and shows names from files as text only."""

import base64
import json
from pathlib import Path

import pytest
from helpers import catalogue_rows, write_catalogue, write_labels
from pages import Page

from rrl_batch.report.evaluate import evaluate

HOSTILE = "<script>alert('x')</script>\"&"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    rows = catalogue_rows()
    survey = {"path": "survey", "stars": len(rows), "description": HOSTILE}
    write_catalogue(root / "catalogue", rows, synthetic=True, scale="other", survey=survey)
    labels = write_labels(root / "labels.parquet", rows, scale=HOSTILE)
    evaluate(root / "catalogue", labels, None, root / "out")
    return root / "out"


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text())


def test_tags_are_closed_in_order(page: Page) -> None:
    assert page.open == []


def test_nothing_is_loaded_and_nothing_runs(page: Page) -> None:
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "href"]
        assert (attributes.get("src") or "data:").startswith("data:")
    assert "default-src 'none'" in str(page.all("meta"))


def test_names_from_files_are_text(page: Page) -> None:
    assert page.text.count(HOSTILE) >= 3


def test_figures_are_those_beside_the_page_and_are_described(page: Page, folder: Path) -> None:
    names = ("predicted_against_true.png", "distribution.png", "pulls.png")
    for image, name in zip(page.all("img"), names, strict=True):
        content = base64.b64decode(str(image["src"]).removeprefix("data:image/png;base64,"))
        assert content == (folder / name).read_bytes()
        assert "180 " in str(image["alt"])


def test_headers_of_tables_have_a_scope(page: Page) -> None:
    scopes = {header.get("scope") for header in page.all("th")}
    assert scopes == {"col", "row", "colgroup"}
    assert len(page.all("table")) == 5
    assert page.all("html") == [{"lang": "en"}]


def test_scores_bins_flags_and_notes_are_shown(page: Page, folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    for name in ("network", "baseline"):
        assert f"{metrics[name]['rmse']:.3f}" in page.text
    bias = metrics["network"]["bins"][1]
    signed = f"{bias['bias']:+.3f} ± {bias['bias_error']:.3f}".replace("-", "−")
    assert f"−2.0 to −1.5 {bias['n']} {signed}" in page.text
    few = metrics["by_flag"]["TOO_FEW_EPOCHS"]["n_in_catalogue"]
    row = f"{few:,} 0 – {metrics['network']['rmse']:.3f} 20"
    assert f"TOO_FEW_EPOCHS fewer than 5 usable epochs: no metallicity {row}" in page.text
    for note in metrics["notes"]:
        assert note in page.text
    assert "1,300 labels, 40 of them of stars that are not in the survey; 1,000 stars" in page.text
    assert "phi31_error <= 0.1 200 230 7" in page.text
    assert "the ensemble member that never saw it" in page.text
    assert "SYNTHETIC: the stars are simulated" in page.text
