"""The summary of a survey tells what is in it, what was left out, and why."""

import base64
import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import LogNorm, Normalize
from pages import Page

from rrl_batch.errors import UserError
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.report import survey_figures as figures
from rrl_batch.report.sky import density_scale
from rrl_batch.report.survey_page import write_summary
from rrl_batch.report.survey_stars import stars_of
from rrl_batch.run import write_page
from rrl_batch.survey.read import open_survey
from rrl_batch.survey.write import finish_survey, plan_partitions, stage_stars, write_partition

HOSTILE = "<script>alert('x')</script>\"&"
N_STARS = 60
FIRST = 4_000_000_000_000_000_000
ABSENT, UNREADABLE, REJECTED = FIRST + 1, FIRST + 2, FIRST + 3
EMPTY = (ABSENT, UNREADABLE, REJECTED)


def table_of(n=N_STARS, **columns):
    """Return stars with light curves, three of them without."""
    rng = np.random.default_rng(3)
    source_id = FIRST + np.arange(n)
    epochs = np.where(np.isin(source_id, EMPTY), 0, rng.integers(3, 70, n))
    mag = [rng.normal(15, 0.3, k).astype("f4") for k in epochs]
    stars = pd.DataFrame(
        {
            "source_id": source_id,
            "ra": rng.uniform(0, 360, n),
            "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
            "best_classification": rng.choice(["RRab", "RRc", "RRd"], n, p=[0.6, 0.3, 0.1]),
            "period": rng.uniform(0.3, 0.7, n),
            "g_transit_time": [np.sort(rng.uniform(1700, 2700, k)) for k in epochs],
            "g_transit_mag": mag,
        }
    )
    return stars.assign(**columns)


def write_own(root, stars, **provenance):
    """Write a survey as `ingest` does, without a cluster."""
    planned, partitions = plan_partitions(stars, max_rows=20)
    stage_stars(root, planned, partitions)

    def light_curves(some, _):
        return LightCurveBatch.from_pandas(some)

    pixels = [piece.pixel for piece in partitions]
    receipts = [
        write_partition((i, pixel), root, light_curves, "m", "d") for i, pixel in enumerate(pixels)
    ]
    finish_survey(root, pixels, receipts, "m", {"description": HOSTILE, **provenance})
    return root


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    transits = {
        "read": 9000, "kept": 5000, "rejected_by_photometry": 700, "rejected_by_variability": 300,
        "other_bands": 3000, "empty": 0, "unknown_star": 0, "summary": "not shown",
    }  # fmt: skip
    return write_own(
        tmp_path_factory.mktemp("survey") / "own",
        table_of(num_clean_epochs_g=np.int32(0)),
        transits=transits, absent_stars={"the archive has none": [ABSENT]},
        unreadable_stars=[UNREADABLE], synthetic=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(survey):
    return Page(write_summary(survey).read_text())


def test_the_page_is_whole_in_itself(page, survey):
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    assert {header.get("scope") for header in page.all("th")} == {"col", "row"}
    assert HOSTILE in page.text
    assert "SYNTHETIC: the stars are simulated" in page.text
    names = ["sky", "epochs", "magnitudes", "periods_and_amplitudes", "transits"]
    for image, name in zip(page.all("img"), names, strict=True):
        content = base64.b64decode(str(image["src"]).removeprefix("data:image/png;base64,"))
        assert content == (survey / "summary" / f"{name}.png").read_bytes()
        assert len(str(image["alt"])) > 20


def test_every_star_without_epochs_has_one_reason(page, survey):
    numbers = json.loads((survey / "summary/summary.json").read_text())
    assert numbers["without"] == [
        {"reason": "the archive has none", "stars": 1, "examples": [ABSENT]},
        {"reason": "The light curve that was given cannot be read", "stars": 1,
         "examples": [UNREADABLE]},
        {"reason": "No G transit was given, or all were rejected", "stars": 1,
         "examples": [REJECTED]},
    ]  # fmt: skip
    assert f"the archive has none 1 {ABSENT}" in page.text
    assert sum(row["without_epochs"] for row in numbers["modes"]) == 3


def test_the_numbers_are_those_of_the_stars(page, survey):
    stars = table_of()
    numbers = json.loads((survey / "summary/summary.json").read_text())
    epochs = stars["g_transit_time"].map(len)
    assert numbers["stars"] == N_STARS
    assert numbers["epochs"] == epochs.sum()
    for row in numbers["modes"]:
        own = epochs[stars["best_classification"] == row["mode"]]
        assert row["stars"] == len(own)
        assert row["median_epochs"] == own.median()
        assert row["sparse"] == (own < 50).sum()
        assert row["too_few_epochs"] == (own < 5).sum()
    assert "9,000 transits were read" in page.text
    assert "Rejected by the photometric processing 700 7.8 %" in page.text
    assert f"{N_STARS - 3} have more." in page.text


def test_what_the_star_table_lacks_is_measured_on_the_transits(tmp_path):
    stars = table_of()
    known = [np.nan] * 30 + [12.0] * 30
    stars = stars.assign(int_average_g=np.array(known, "f4"), best_classification=["?", None] * 30)
    stars.loc[5, "g_transit_mag"][:2] = np.nan, np.inf
    stars.to_parquet(tmp_path / "stars.parquet")
    found = stars_of(open_survey(tmp_path)).set_index("source_id").sort_index()
    mag = stars.set_index("source_id")["g_transit_mag"]
    for star in mag.index[[0, 5, 20]]:
        values = mag[star][np.isfinite(mag[star])].astype(float)
        assert found.loc[star, "mag"] == pytest.approx(values.mean(), rel=1e-6)
        assert found.loc[star, "amplitude"] == pytest.approx(np.ptp(values), rel=1e-6)
    assert found["mag"].iloc[30:].eq(12.0).all()
    assert found.loc[list(EMPTY), ["mag", "amplitude"]].isna().all(axis=None)
    assert set(found["mode"]) == {"other"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "stars",
    [
        table_of(1), table_of(ra=np.nan, source_id=np.arange(N_STARS)), table_of(period=np.nan),
        table_of(g_transit_time=[[]] * N_STARS, g_transit_mag=[[]] * N_STARS),
        pd.concat([table_of(4000)[lambda t: ~t["source_id"].isin(EMPTY)]]),
    ],
    ids=["one star", "no positions", "no periods", "no epochs", "many stars"],
)  # fmt: skip
def test_any_folder_of_stars_has_a_summary(stars, tmp_path):
    stars.to_parquet(tmp_path / "stars.parquet")
    page = Page(write_page(tmp_path).read_text())
    assert len(page.all("img")) == 4
    assert f"{len(stars):,} RR Lyrae stars" in page.text
    assert "SYNTHETIC" not in page.text


def test_a_folder_of_something_else_is_refused(run, tmp_path):
    with pytest.raises(UserError, match=r"holds a model; its scores are in model.json, and on the"):
        write_page(run.model)
    with pytest.raises(UserError, match=r"holds no catalogue, for which --survey and --model are"):
        write_page(run.survey, survey=run.survey)
    with pytest.raises(UserError, match=r"There is no folder .*nothing; give that of an experim"):
        write_page(tmp_path / "nothing")


@pytest.mark.parametrize(("n", "scale"), [(5, "linear"), (20_000, "log")])
def test_axes_are_logarithmic_where_there_are_stars_enough(n, scale):
    rng = np.random.default_rng(4)
    stars = pd.DataFrame(
        {
            "ra": rng.uniform(0, 360, n),
            "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
            "mode": "RRab",
            "epochs": 40,
            "mag": rng.normal(16, 1, n),
        }
    )
    (axes,) = figures.magnitudes(stars, synthetic=False).axes
    assert axes.get_yscale() == scale
    if scale == "linear":
        assert all(tick == round(tick) for tick in axes.get_yticks())


def test_a_map_of_few_stars_has_a_linear_scale():
    assert isinstance(density_scale(pd.Series([0.5, 0.5, 1.0])), Normalize)
    assert not isinstance(density_scale(pd.Series([0.5, 0.5, 1.0])), LogNorm)
    assert isinstance(density_scale(pd.Series([0.5, 5.0, 50.0])), LogNorm)
