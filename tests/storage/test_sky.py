"""Positions, partitions and metadata on the sky, against hats and LSDB."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrl_batch.contracts import STARS, SURVEY
from rrl_batch.lightcurve.batch import LightCurveBatch
from rrl_batch.storage.manifest import Manifest
from rrl_batch.storage.sky import (
    SPATIAL_INDEX,
    Pixel,
    neighbours,
    partition,
    suffix,
    with_positions,
)
from rrl_batch.survey.write import (
    finish_survey,
    plan_partitions,
    stage_stars,
    write_partition,
)

LAST = 12 << 58
"""First index beyond the sky at order 29."""

# most indices in few pixels, so that some pixels are cut deeply and neighbours are empty
indices = st.lists(
    st.integers(0, LAST - 1) | st.integers(0, 1 << 40) | st.integers(LAST - (1 << 44), LAST - 1),
    max_size=60,
).map(lambda values: np.sort(np.array(values, np.int64)))


@given(indices, st.integers(1, 20))
def test_partitions_hold_every_row_once_and_in_order(index: np.ndarray, max_rows: int) -> None:
    partitions = partition(index, max_rows)
    rows = [row for piece in partitions for row in range(piece.start, piece.stop)]
    assert rows == list(range(len(index)))
    for pixel, start, stop in partitions:
        first, beyond = pixel.span
        assert first <= index[start]
        assert index[stop - 1] < beyond
        assert stop - start <= max_rows or len(set(index[start:stop])) == 1


@settings(max_examples=30)
@given(indices, st.integers(1, 20))
def test_partitions_are_those_of_hats(index: np.ndarray, max_rows: int) -> None:
    from hats.pixel_math import generate_alignment

    order = 5
    index = np.sort(index >> (2 * (29 - order)) << (2 * (29 - order)))  # crowd cells of order 5
    histogram = np.bincount(index >> (2 * (29 - order)), minlength=12 << (2 * order))
    max_rows = max(max_rows, int(histogram.max()))
    alignment = generate_alignment(histogram, highest_order=order, threshold=max_rows)
    expected = {tuple(map(int, cell)) for cell in alignment if cell is not None}
    found = {(*piece.pixel, piece.stop - piece.start) for piece in partition(index, max_rows)}
    assert found == {cell for cell in expected if cell[2]}


def test_rows_at_one_index_stay_together() -> None:
    (piece,) = partition(np.full(9, 123456789), 2)
    assert piece == (Pixel(29, 123456789), 0, 9)


@given(
    st.integers(0, 29).flatmap(lambda o: st.tuples(st.just(o), st.integers(0, (12 << 2 * o) - 1)))
)
def test_pixel_file_is_where_hats_looks_for_it(pixel: tuple[int, int]) -> None:
    from hats.io.paths import pixel_catalog_file
    from hats.pixel_math import HealpixPixel

    path = Pixel(*pixel).file("0123456789abcdef")
    hats = pixel_catalog_file("/x", HealpixPixel(*pixel), npix_suffix=suffix("0123456789abcdef"))
    assert str(hats) == f"/x/{path}"
    assert Pixel.from_path(path) == pixel


def _stars(source_id: list[int], ra: list[float], dec: list[float]) -> pd.DataFrame:
    stars = pd.DataFrame(
        {"source_id": np.array(source_id, np.int64), "ra": ra, "dec": dec}
    ).astype({"ra": float, "dec": float})  # fmt: skip
    return stars.assign(best_classification="RRab", period=0.5)


@pytest.mark.parametrize(
    ("source_id", "ra", "dec"),
    [
        (5853498713190525696, 217.42895, -62.67948),  # Proxima Centauri
        (4472832130942575872, 269.45208, 4.69339),  # Barnard's star
        (2125982599343482624, 291.36630, 42.78436),  # RR Lyrae
    ],
)
def test_star_without_position_gets_the_cell_of_its_gaia_identifier(
    source_id: int, ra: float, dec: float
) -> None:
    from astropy.coordinates import SkyCoord

    placed = with_positions(_stars([source_id], [np.nan], [np.nan]))
    found = SkyCoord(placed["ra"], placed["dec"], unit="deg")
    # a cell is 51 arcsec wide, and two of the stars move several arcsec a year
    assert found.separation(SkyCoord(ra, dec, unit="deg"))[0].arcsec < 120
    assert placed[SPATIAL_INDEX][0] >> 34 == source_id >> 35


def test_positions_of_real_stars_lie_in_the_cells_of_their_identifiers(shared_data: Path) -> None:
    stars = pd.read_parquet(shared_data / "gaia_dr3/stars.parquet")
    given_ = with_positions(stars)
    derived = with_positions(stars.assign(ra=np.nan, dec=np.nan))
    for placed in (given_, derived):
        index, source_id = (placed[name].to_numpy() for name in (SPATIAL_INDEX, "source_id"))
        np.testing.assert_array_equal(index >> 34, source_id >> 35)
    merged = given_.merge(derived, on="source_id")
    np.testing.assert_allclose(merged["dec_x"], merged["dec_y"], atol=1e-6)


@given(
    st.lists(
        st.tuples(st.floats(0, 360, exclude_max=True), st.floats(-90, 90)), min_size=1, max_size=30
    )
)
def test_stars_are_sorted_by_their_cell(positions: list[tuple[float, float]]) -> None:
    from astropy.coordinates import Latitude, Longitude
    from cdshealpix.nested import lonlat_to_healpix

    ra, dec = map(list, zip(*positions, strict=True))
    placed = with_positions(_stars(list(range(len(ra))), ra, dec))
    assert placed[SPATIAL_INDEX].is_monotonic_increasing
    assert sorted(placed["source_id"]) == list(range(len(ra)))
    expected = lonlat_to_healpix(
        Longitude(placed["ra"].to_numpy(), "deg"), Latitude(placed["dec"].to_numpy(), "deg"), 29
    )
    np.testing.assert_array_equal(placed[SPATIAL_INDEX], expected.astype(np.int64))


@pytest.mark.parametrize("position", [(np.nan, 10), (10, np.nan), (361, 0), (0, 91), (np.inf, 0)])
@pytest.mark.parametrize("source_id", [7, 0, -5, 2**63 - 1])
def test_star_that_is_nowhere_is_kept(source_id: int, position: tuple[float, float]) -> None:
    placed = with_positions(_stars([source_id], [position[0]], [position[1]]))
    assert placed[SPATIAL_INDEX].tolist() == [0]
    assert placed[["ra", "dec"]].isna().all(axis=None)


def test_input_is_not_changed() -> None:
    stars = _stars([2125982599343482624, 3], [np.nan, 20.0], [np.nan, 20.0])
    before = stars.copy()
    with_positions(stars)
    pd.testing.assert_frame_equal(stars, before)


def _light_curves(stars: pd.DataFrame, number: int) -> LightCurveBatch:
    """Give star n, counted within a partition, n epochs at the times 0, 1, … n - 1."""
    assert number >= 0
    epochs = np.arange(len(stars))
    time = np.concatenate([np.arange(n, dtype=float) for n in epochs])
    return LightCurveBatch(
        stars=stars[STARS.names],
        offsets=np.concatenate([[0], np.cumsum(epochs)]).astype(np.int64),
        time=time,
        mag=(17 + time).astype(np.float32),
        mag_error=np.full(len(time), 0.01, np.float32),
        has_error=np.ones(len(stars), bool),
        malformed=np.zeros(len(stars), bool),
    )


def _write_survey(root: Path, stars: pd.DataFrame, max_rows: int) -> Manifest:
    stars, partitions = plan_partitions(stars, max_rows)
    stage_stars(root, stars, partitions)
    targets = [(number, piece.pixel) for number, piece in enumerate(partitions)]
    receipts = [write_partition(target, root, _light_curves, "f", "a test") for target in targets]
    return finish_survey(
        root, [piece.pixel for piece in partitions], receipts, "f", {"description": "test"}
    )


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    random = np.random.default_rng(1)
    ra = random.uniform(0, 360, 60)
    dec = np.degrees(np.arcsin(random.uniform(-1, 1, 60)))
    stars = _stars(list(range(60)), list(ra), list(dec))
    return STARS.conform(pa.Table.from_pandas(stars), "test").to_pandas()

    return pa.Table.from_pandas(stars, preserve_index=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # LSDB's own use of pandas
def test_lsdb_opens_a_survey_as_it_stands(tmp_path: Path, sample: pd.DataFrame) -> None:
    import dask
    import lsdb
    from astropy.coordinates import SkyCoord

    manifest = _write_survey(tmp_path / "survey", sample, max_rows=7)
    assert len(manifest.partitions) > 12
    catalog = lsdb.open_catalog(tmp_path / "survey", columns="all")
    assert len(catalog) == manifest.rows == len(sample)
    assert catalog.hc_structure.catalog_info.ra_column == "ra"
    with dask.config.set(scheduler="synchronous"):
        rows = catalog.compute()
        cone = catalog.cone_search(ra=120, dec=-30, radius_arcsec=40 * 3600).compute()
    assert list(rows.columns) == SURVEY.names
    rows = rows.sort_values("source_id").reset_index(drop=True)
    np.testing.assert_array_equal(rows["source_id"], sample["source_id"])
    np.testing.assert_allclose(rows["ra"], sample["ra"], rtol=0, atol=0)
    for time, mag in zip(rows["g_transit_time"], rows["g_transit_mag"], strict=True):
        np.testing.assert_array_equal(time, np.arange(len(time)))
        np.testing.assert_array_equal(mag, 17 + np.arange(len(time)))
    centre = SkyCoord(120, -30, unit="deg")
    near = centre.separation(SkyCoord(sample["ra"], sample["dec"], unit="deg")).deg < 40
    assert set(cone["source_id"]) == set(sample["source_id"][near])
    assert near.any()


def test_finished_partitions_are_not_written_again(tmp_path: Path, sample: pd.DataFrame) -> None:
    stars, partitions = plan_partitions(sample, 7)
    stage_stars(tmp_path, stars, partitions)
    target = (0, partitions[0].pixel)
    first = write_partition(target, tmp_path, _light_curves, "f", "a test")

    def fail(*_: object) -> LightCurveBatch:
        raise AssertionError

    assert write_partition(target, tmp_path, fail, "f", "a test") == first
    with pytest.raises(AssertionError):
        write_partition(target, tmp_path, fail, "g", "a test")


@given(st.lists(st.integers(1, 30), min_size=1), st.integers(1, 50))
def test_no_task_is_too_small_if_neighbours_can_share_it(stars, per_task):
    tasks = [stars[group] for group in neighbours(stars, per_task)]
    assert [n for task in tasks for n in task] == stars
    assert all(sum(task) >= per_task for task in tasks) or len(tasks) == 1
    assert all(sum(task[:-1]) < per_task for task in tasks[:-1])
