"""Distances follow from their relation, and their errors are those of many draws."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from cdshealpix import nested, ring
from helpers import catalogue_rows, write_catalogue

from rrl_batch.catalogue.distances import COLUMNS, Distances, distances_of
from rrl_batch.catalogue.distances.extinction import Absorption, extinction_of
from rrl_batch.catalogue.distances.luminosity import Luminosity
from rrl_batch.cli import main
from rrl_batch.contracts import CATALOGUE
from rrl_batch.contracts.scales import Scales
from rrl_batch.errors import UserError

KNOWN = Luminosity.read()
LAW = KNOWN.extinction
RELATION = KNOWN.relations["muraveva2018"]


def _rows(**changed: object) -> pa.Table:
    frame = catalogue_rows(3).assign(
        best_classification="RRab", feh=-1.5, feh_error=0.2, int_average_g=15.63, amplitude_g=0.8,
        num_epochs_used=40, **changed,
    )  # fmt: skip
    return CATALOGUE.conform(pa.Table.from_pandas(frame, preserve_index=False), "test")


def _distances(
    absorption: float = 0.0, error: float = 0.0, scale: str = "zinnwest1984"
) -> Distances:
    extinction = lambda rows: Absorption(*(np.full(len(rows), v) for v in (absorption, error)))  # noqa: E731
    return Distances(RELATION, extinction, scale, Scales.read().relation(scale, RELATION.scale), {})


def _computed(distances: Distances, rows: pa.Table) -> dict[str, np.ndarray]:
    values = zip(COLUMNS, distances.compute(rows), strict=True)
    return {column.name: array.to_numpy(zero_copy_only=False) for column, array in values}


def test_absolute_magnitude_is_the_published_one() -> None:
    """Muraveva et al. (2018) give M_G = 0.63 at [Fe/H] = -1.5; 15 mag further is 10 kpc."""
    found = _computed(_distances(), _rows())
    assert found["abs_mag_g"] == pytest.approx([0.63] * 3)
    assert found["distance_modulus"] == pytest.approx([15.0] * 3)
    assert found["distance"] == pytest.approx([10.0] * 3)
    assert _computed(_distances(0.5), _rows())["distance"] == pytest.approx([10 * 10**-0.1] * 3)


def test_errors_are_those_of_draws() -> None:
    found = _computed(_distances(0.5, 0.1), _rows())
    rng = np.random.default_rng(0)
    n = 400_000
    phase = rng.uniform(0, 1, (n // 10, 40)).mean(axis=1) - 0.5  # of a curve that falls evenly
    drawn = (
        0.8 * rng.choice(phase, n)
        - 0.1 * rng.standard_normal(n)
        - RELATION.slope * 0.2 * rng.standard_normal(n)
        - RELATION.scatter * rng.standard_normal(n)
    )
    assert found["distance_modulus_error"] == pytest.approx([drawn.std()] * 3, rel=0.02)
    low, high = 10 * 10 ** (np.array([-0.5 - drawn.std(), -0.5 + drawn.std()]) / 5)
    assert found["distance_lo"] == pytest.approx([low] * 3, rel=0.01)
    assert found["distance_hi"] == pytest.approx([high] * 3, rel=0.01)


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({"feh": [np.nan, -1.5, -1.5]}, 0),
        ({"best_classification": ["RRab", "RRd", "RRc"]}, 1),
        ({"int_average_g": [15.0, 15.0, np.nan]}, 2),
    ],
)
def test_a_star_without_what_it_takes_has_no_distance(
    changed: dict[str, object], missing: int
) -> None:
    frame = _rows().to_pandas().assign(**changed)
    rows = CATALOGUE.conform(pa.Table.from_pandas(frame, preserve_index=False), "test")
    found = _computed(_distances(), rows)
    for name in ("distance_modulus", "distance_modulus_error", "distance", "distance_lo"):
        assert np.flatnonzero(np.isnan(found[name])).tolist() == [missing]
    assert np.isfinite(found["absorption_g"]).all()


def test_metallicities_come_to_the_scale_of_the_relation_or_it_is_said_that_they_do_not() -> None:
    content = Scales.read().model_dump(by_alias=True)
    content["relations"] = [
        {"from": "crestani2021", "to": "zinnwest1984", "coefficients": [0.1, 1.1],
         "range": [-3, 0], "scatter": 0.1, "reference": "a test"},
    ]  # fmt: skip
    calibration = Scales.model_validate(content).relation("crestani2021", "zinnwest1984")
    raw = _distances(scale="crestani2021")
    assert "taken as it is" in raw.about["calibration"]
    calibrated = Distances(RELATION, raw.extinction, "crestani2021", calibration, {})
    assert calibrated.about["calibration"]["reference"] == "a test"
    found, plain = (_computed(d, _rows()) for d in (calibrated, raw))
    assert found["abs_mag_g"] == pytest.approx([0.32 * -1.55 + 1.11] * 3)
    assert (found["distance_modulus_error"] > plain["distance_modulus_error"]).all()
    assert _distances().about["calibration"] == "feh is on the scale of the relation, zinnwest1984"


def test_extinction_by_a_function_of_positions() -> None:
    rows = _rows(ra=[10.0, 20.0, np.nan], dec=[-5.0, 60.0, 1.0])
    found = extinction_of("test_distances:by_declination", LAW)(rows)
    expected = LAW.absorption_per_reddening * np.array([0.0, 0.6])
    assert found.value[:2] == pytest.approx(expected)
    assert found.error[:2] == pytest.approx(LAW.relative_error * expected)
    assert np.isnan(found.value[2])
    assert extinction_of("test_distances:Query", LAW)(rows).value[1] == pytest.approx(expected[1])


def by_declination(positions: SkyCoord) -> np.ndarray:
    return np.maximum(positions.dec.deg, 0) / 100


class Query:
    """A query as those of dustmaps: made without arguments, then called."""

    def __call__(self, positions: SkyCoord) -> np.ndarray:
        return by_declination(positions)


def failing(positions: SkyCoord) -> float:  # noqa: ARG001
    message = "the map is not here"
    raise OSError(message)


def one_value(positions: SkyCoord) -> float:  # noqa: ARG001
    return 0.1


@pytest.mark.parametrize("order", ["NESTED", "RING"])
@pytest.mark.parametrize("frame", ["C", "G"])
def test_extinction_by_a_map(tmp_path: Path, order: str, frame: str) -> None:
    """A map of the latitude of its pixels, as parts of 180°, gives the latitude of stars back."""
    depth = 6
    pixels = np.arange(12 * 4**depth)
    scheme = nested if order == "NESTED" else ring
    _, latitude = scheme.healpix_to_lonlat(pixels, depth if order == "NESTED" else 2**depth)
    table = fits.BinTableHDU.from_columns(
        [fits.Column("EBV", "1024E", array=_as_reddening(latitude.deg).reshape(-1, 1024))]
    )
    table.header.update(NSIDE=2**depth, ORDERING=order, COORDSYS=frame)
    table.writeto(tmp_path / "map.fits")
    rows = _rows(ra=[10.0, 200.0, 300.0], dec=[-5.0, 60.0, -70.0])
    found = extinction_of(str(tmp_path / "map.fits"), LAW)(rows)
    at = SkyCoord(rows["ra"].to_numpy(), rows["dec"].to_numpy(), unit="deg")
    expected = at.galactic.b.deg if frame == "G" else at.dec.deg
    assert found.value / LAW.absorption_per_reddening == pytest.approx(
        _as_reddening(expected), abs=1 / 180
    )


def _as_reddening(latitude: np.ndarray) -> np.ndarray:
    return ((latitude + 90) / 180).astype(np.float32)


def _write_map(path: Path, columns: dict[str, np.ndarray], **header: object) -> str:
    fields = [fits.Column(name, "D", array=values) for name, values in columns.items()]
    table = fits.BinTableHDU.from_columns(fields)
    table.header.update({"NSIDE": 1, "ORDERING": "RING", "COORDSYS": "C"} | header)
    table.writeto(path)
    return str(path)


def test_a_pixel_without_a_value_gives_no_extinction(tmp_path: Path) -> None:
    ebv = np.where(np.arange(12) < 4, -1.6375e30, 0.1)  # the first of the ring scheme: the north
    found = extinction_of(_write_map(tmp_path / "map.fits", {"EBV": ebv}), LAW)(
        _rows(ra=[10.0, 200.0, 300.0], dec=[80.0, -60.0, -70.0])
    )
    assert np.isnan(found.value).tolist() == [True, False, False]
    assert np.isnan(found.error).tolist() == [True, False, False]


def test_of_several_columns_of_a_map_the_reddening_is_taken(tmp_path: Path) -> None:
    columns = {"TAU353": np.full(12, 1e-5), "ebv": np.full(12, 0.1)}
    found = extinction_of(_write_map(tmp_path / "map.fits", columns), LAW)(_rows())
    assert found.value == pytest.approx(0.274)


@pytest.mark.parametrize(
    ("columns", "header", "sentence"),
    [
        (("TAU353", "TEMP"), {}, "has the columns TAU353, TEMP; it is not known which has E.B-V."),
        (("PIXEL", "EBV"), {"INDXSCHM": "EXPLICIT"}, "12 pixels with their numbers"),
        (("EBV",), {"COORDSYS": "E"}, "COORDSYS = 'E'"),
        (("EBV",), {"ORDERING": "NESTER"}, "ORDERING = 'NESTER'"),
        (("EBV",), {"NSIDE": 7}, "NSIDE = 7 has 588 in order"),
    ],
)
def test_a_map_that_would_be_misread_is_refused(
    tmp_path: Path, columns: tuple[str, ...], header: dict[str, object], sentence: str
) -> None:
    path = _write_map(tmp_path / "map.fits", dict.fromkeys(columns, np.arange(12.0)), **header)
    with pytest.raises(UserError, match=sentence):
        extinction_of(path, LAW)


def test_marks_for_no_value_in_a_table_are_unknown(tmp_path: Path) -> None:
    ids = _rows()["source_id"].to_pylist()
    table = {"source_id": ids, "ebv": [-9999.0, np.inf, 0.1], "ebv_error": [0.1, 0.1, -9999.0]}
    pq.write_table(pa.table(table), tmp_path / "dust.parquet")
    found = extinction_of(str(tmp_path / "dust.parquet"), LAW)(_rows())
    assert np.isnan(found.value).tolist() == [True, True, False]
    assert found.error[2] == pytest.approx(0.16 * 0.274)


def test_extinction_by_a_table(tmp_path: Path) -> None:
    rows = _rows()
    ids = rows["source_id"].to_pylist()
    table = {
        "source_id": ids[:2], "absorption_g": [0.3, None], "absorption_g_error": [0.05, None],
        "ebv": [None, 0.1],
    }  # fmt: skip
    pq.write_table(pa.table(table), tmp_path / "dust.parquet")
    found = extinction_of(str(tmp_path / "dust.parquet"), LAW)(rows)
    assert found.value[:2] == pytest.approx([0.3, 0.274])
    assert found.error[:2] == pytest.approx([0.05, 0.16 * 0.274])
    assert np.isnan(found.value[2])


def test_export_with_distances(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = catalogue_rows()
    write_catalogue(tmp_path / "catalogue", rows)
    words = ["export", str(tmp_path / "catalogue"), str(tmp_path / "out.parquet")]
    assert main([*words, "--distances", "muraveva2018", "--extinction", "none"]) == 0
    out = capsys.readouterr().out
    assert "no relation from crestani2021 to zinnwest1984 is known: feh is taken as it is" in out
    assert "200 stars" in out
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == [*CATALOGUE.names, *(column.name for column in COLUMNS)]
    assert table.schema.field("distance").metadata[b"unit"] == b"kpc"
    about = table.schema.metadata[b"provenance"].decode()
    assert "Muraveva et al. (2018), MNRAS 481, 1195" in about
    assert "no relation from crestani2021 to zinnwest1984 is known" in about
    frame = table.to_pandas()
    assert frame["distance"].isna().equals(frame["feh"].isna())
    known = frame.dropna(subset=["distance"])
    modulus = known["int_average_g"] - (0.32 * known["feh"] + 1.11)
    assert known["distance"].to_numpy() == pytest.approx(10 ** (modulus / 5 - 2), rel=1e-5)
    assert (known["distance_lo"] < known["distance"]).all()
    assert (known["distance_hi"] > known["distance"]).all()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--distances", "muraveva2018"], "Distances need the extinction"),
        (["--extinction", "none"], "are for --distances"),
        (["--distances", "muraveva2081", "--extinction", "none"], "did you mean 'muraveva2018'?"),
        (["--distances", "muraveva2018", "--extinction", "x"], "is neither a table"),
        (["--distances", "muraveva2018", "--extinction", "no.such:thing"], "cannot be had"),
        (["--distances", "muraveva2018", "--extinction", "math:pi"], "is a float, not a function"),
        (["--distances", "muraveva2018", "--extinction", "no.fits"], "There is no file no.fits"),
        (["--distances", "muraveva2018", "--extinction", "test_distances:failing"],
         "test_distances:failing does not tell the extinction (OSError: the map is not here)"),
        (["--distances", "muraveva2018", "--extinction", "no.csv"], "There is no file no.csv"),
        (["--distances", "muraveva2018", "--extinction", "test_distances:one_value"],
         "it must return one E(B-V) each"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    write_catalogue(tmp_path / "catalogue", catalogue_rows(20))
    assert main(["export", str(tmp_path / "catalogue"), str(tmp_path / "out.csv"), *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out.csv").exists()


def test_a_table_with_no_extinction_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dust.csv"
    path.write_text("source_id,other\n1,2\n")
    with pytest.raises(UserError, match="neither values of 'absorption_g' nor of 'ebv'"):
        extinction_of(str(path), LAW)
    path.write_text("source_id,ebv\n1,0.1\n1,0.2\n")
    with pytest.raises(UserError, match="star 1 occurs in several rows"):
        extinction_of(str(path), LAW)


def test_relations_come_from_a_file(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "catalogue", catalogue_rows(20))
    package = Path(__file__).parents[2] / "rrl_batch/catalogue/distances/luminosity.toml"
    mine = tmp_path / "mine.toml"
    mine.write_text(package.read_text().replace("relations.muraveva2018", "relations.mine"))
    assert distances_of(tmp_path / "catalogue", "mine", "none", mine).relation == RELATION
    mine.write_text("[relations.mine]\nslope = 'steep'\n")
    with pytest.raises(UserError, match="does not describe luminosities"):
        Luminosity.read(mine)
