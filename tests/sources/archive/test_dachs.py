"""The table of stars from GAVO DaCHS, a TAP server that nobody here has written."""

from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from dachs import URL
from gaia_archive import impatient, sample

from rrl_batch.errors import UserError
from rrl_batch.sources.archive.call import Archive
from rrl_batch.sources.archive.release import Release, StarChoice
from rrl_batch.sources.archive.stars import stars_query
from rrl_batch.sources.tables import read_stars


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    try:
        with urlopen(f"{URL}/tap/tables", timeout=20) as tables:  # noqa: S310 -- it is http
            serves = b"gaiadr3.vari_rrlyrae" in tables.read()
    except (URLError, TimeoutError):
        serves = False
    if not serves:
        pytest.skip(f"no DaCHS server with the tables at {URL}; 'python tests/dachs.py' starts one")
    path = impatient(tmp_path / "dachs.toml")
    text = path.read_text().replace('tap = "tap-server"', 'tap = ""')
    path.write_text(text.replace('format = "votable_gzip"', 'format = "votable"'))
    return Archive(Release.read(str(path), URL), None)


def test_all_stars_come_as_they_are(archive, tmp_path):
    assert stars_query(archive.release.query(StarChoice()), archive, tmp_path, tmp_path / "s") == 60
    stars = read_stars(tmp_path / "stars.parquet").set_index("source_id")
    truth = sample(60, seed=5)[0].set_index("source_id").loc[stars.index]
    assert (stars["ra"] == truth["ra"]).all()
    assert (stars["period"] == truth["pf"].fillna(truth["p1_o"])).all()
    assert (stars["best_classification"] == truth["best_classification"]).all()


def test_condition_and_limit_are_understood(archive, tmp_path):
    choice = StarChoice("best_classification = 'RRab' AND num_clean_epochs_g > 6", 7)
    assert stars_query(archive.release.query(choice), archive, tmp_path, tmp_path / "s") == 7
    truth = sample(60, seed=5)[0]
    fitting = truth.query("best_classification == 'RRab' and num_clean_epochs_g > 6")
    first = fitting.sort_values("random_index")["source_id"].head(7)
    assert set(read_stars(tmp_path / "stars.parquet")["source_id"]) == set(first)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rr.pf AS", "rr.colour AS", "No such field known: column 'colour'"),
        ("vari_rrlyrae", "vari_cepheid", r"Could not locate table 'gaiadr3\.vari_cepheid'"),
    ],
)
def test_errors_are_said_in_its_words(archive, tmp_path, old, new, said):
    query = archive.release.query(StarChoice()).replace(old, new)
    with pytest.raises(UserError, match=said) as raised:
        stars_query(query, archive, tmp_path, tmp_path / "s")
    assert "Error 200" not in str(raised.value)
