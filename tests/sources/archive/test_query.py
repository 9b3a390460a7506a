"""The table of stars: one job, whose result is whole, or a sentence of the archive's own."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from gaia_archive import serving

from rrl_batch.errors import RunError, UserError
from rrl_batch.sources.archive.call import Archive
from rrl_batch.sources.archive.login import PASSWORD, USER, Login
from rrl_batch.sources.archive.release import StarChoice
from rrl_batch.sources.archive.stars import stars_query
from rrl_batch.sources.tables import read_stars


def test_the_table_is_the_archives(small, archive_of, tmp_path):
    with serving(small()) as stand_in:
        archive = archive_of(stand_in)
        assert (
            stars_query(archive.release.query(StarChoice()), archive, tmp_path, tmp_path / "s")
            == 60
        )
        assert (
            stars_query(archive.release.query(StarChoice()), archive, tmp_path, tmp_path / "s")
            == 60
        )
        assert len(stand_in.queries) == 1
    truth = stand_in.stars.set_index("source_id")
    stars = read_stars(tmp_path / "stars.parquet").set_index("source_id")
    assert set(stars.index) == set(truth.index)
    truth = truth.loc[stars.index]
    np.testing.assert_array_equal(stars["ra"], truth["ra"])
    np.testing.assert_array_equal(stars["period"], truth["pf"].fillna(truth["p1_o"]))
    np.testing.assert_array_equal(stars["phi31_g"], truth["phi31_g"].astype(np.float32))
    assert (stars["best_classification"] == truth["best_classification"]).all()


def test_a_job_is_waited_for_by_the_next_run(small, archive_of, tmp_path):
    with serving(small()) as stand_in:
        archive = archive_of(stand_in, attempts=1)
        query = archive.release.query(StarChoice())
        stand_in.tap_faults = {"result": ["truncated"]}
        with pytest.raises(RunError, match="table of stars cannot be read"):
            stars_query(query, archive, tmp_path, tmp_path / "s")
        job = json.loads((tmp_path / "s" / "query.json").read_text())["job"]
        assert list(stand_in.jobs) == [job]
        assert stars_query(query, archive, tmp_path, tmp_path / "s") == 60
        assert len(stand_in.queries) == 1


def test_a_job_that_the_archive_has_forgotten_is_begun_anew(small, archive_of, tmp_path, caplog):
    with serving(small()) as stand_in:
        archive = archive_of(stand_in)
        query = archive.release.query(StarChoice(limit=7))
        server = archive.release.server.url
        (tmp_path / "s").mkdir()
        job = {"job": "17O", "query": query, "server": server}
        (tmp_path / "s" / "query.json").write_text(json.dumps(job))
        assert stars_query(query, archive, tmp_path, tmp_path / "s") == 7
        assert "has ended the job 17O (" in caplog.text


@pytest.mark.parametrize("early", [True, False])
def test_an_error_in_the_query_is_said_in_the_archives_words(small, archive_of, tmp_path, early):
    with serving(small(refuses_early=early)) as stand_in:
        archive = archive_of(stand_in)
        with pytest.raises(UserError, match=r"Cannot parse query: no such column: colour"):
            stars_query(
                archive.release.query(StarChoice("colour > 1")), archive, tmp_path, tmp_path / "s"
            )
        # nothing is left that keeps the right one from its way
        assert (
            stars_query(
                archive.release.query(StarChoice("pf > 0")), archive, tmp_path, tmp_path / "s"
            )
            > 0
        )


def test_a_release_without_the_table_is_said(small, archive_of, tmp_path):
    with serving(small()) as stand_in:
        archive = archive_of(stand_in)
        query = archive.release.query(StarChoice()).replace("vari_rrlyrae", "vari_cepheid")
        with pytest.raises(UserError, match=r"no such table: gaiadr3\.vari_cepheid"):
            stars_query(query, archive, tmp_path, tmp_path / "s")


def test_a_table_that_was_cut_short_is_refused(small, archive_of, tmp_path):
    with serving(small(overflow=True)) as stand_in:
        archive = archive_of(stand_in)
        with pytest.raises(RunError, match="cut the table of stars short after 60 rows"):
            stars_query(archive.release.query(StarChoice()), archive, tmp_path, tmp_path / "s")


def test_a_condition_that_no_star_fulfils_is_refused(small, archive_of, tmp_path):
    with serving(small()) as stand_in:
        archive = archive_of(stand_in)
        with pytest.raises(UserError, match="No star of the archive fulfils"):
            stars_query(
                archive.release.query(StarChoice("pf > 9")), archive, tmp_path, tmp_path / "s"
            )


def test_who_has_an_account_is_logged_in(
    small, release_of, tmp_path, certificates, monkeypatch, caplog
):
    """The client speaks TLS as soon as a password is involved."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "scheduler" / "ca.crt"))
    monkeypatch.setenv(USER, "ada")
    monkeypatch.setenv(PASSWORD, "let me in")
    with serving(small(), certificates / "scheduler") as stand_in:
        archive = Archive(release_of(stand_in), Login.find(None))
        assert (
            stars_query(archive.release.query(StarChoice()), archive, tmp_path, tmp_path / "s")
            == 60
        )
        archive.products([int(stand_in.stars["source_id"][0])], tmp_path / "products.zip")
        assert set(stand_in.logins) == {"tap-server", "data-server"}
        monkeypatch.setenv(PASSWORD, "open sesame")
        with pytest.raises(UserError, match=r"refuses .*Bad credentials"):
            archive.submit("SELECT 1")
    assert "sesame" not in caplog.text
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"let me in" in p.read_bytes()]


def test_extra_columns_are_kept(small, archive_of, tmp_path):
    with serving(small()) as stand_in:
        archive = archive_of(stand_in)
        stars_query(archive.release.query(StarChoice(limit=3)), archive, tmp_path, tmp_path / "s")
    table = pq.read_table(tmp_path / "stars.parquet")
    assert table.column_names == list(archive.release.stars.columns)
    assert table["has_epoch_photometry"].to_pylist() == [True] * 3
