"""A release is a file, and a query is what it says; credentials are nobody else's."""

import pytest
from gaia_archive import RELEASE

from rrl_batch.errors import UserError
from rrl_batch.sources.archive.login import PASSWORD, USER, Login
from rrl_batch.sources.archive.release import DEFAULT, Release, StarChoice


@pytest.fixture
def dr3() -> Release:
    return Release.read(DEFAULT)


def test_the_query_names_every_column_once(dr3):
    query = dr3.query(StarChoice())
    assert query.startswith("SELECT source_id AS source_id, s.ra AS ra,")
    assert query.endswith("JOIN gaiadr3.gaia_source AS s USING (source_id)")
    assert query.count(" AS phi31_g,") == 1


def test_condition_and_number_are_in_the_query(dr3):
    query = dr3.query(StarChoice("pf > 0.5 OR p1_o > 0.3", 100))
    assert query.startswith("SELECT TOP 100 ")
    assert query.endswith(" WHERE (pf > 0.5 OR p1_o > 0.3) ORDER BY s.random_index")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("", "is empty"),
        ("pf > 0.5; DROP TABLE x", "without ';'"),
        ("pf > 0.5 -- all", "without '--'"),
        ("pf > 0.5) OR (1 = 1", "parentheses are not balanced"),
        ("(pf > 0.5", "parentheses are not balanced"),
        ("best_classification = 'RRab", r"quotation marks \('\) are not balanced"),
    ],
)
def test_what_is_more_than_a_condition_is_refused(where, said):
    with pytest.raises(UserError, match=said):
        StarChoice(where)


def test_text_in_quotes_may_hold_anything(dr3):
    assert "(best_classification = 'a;b)--')" in dr3.query(
        StarChoice("best_classification = 'a;b)--'")
    )


def test_a_number_of_stars_is_positive():
    with pytest.raises(UserError, match="leaves no star"):
        StarChoice(limit=0)


def test_another_release_is_another_file(tmp_path):
    path = tmp_path / "dr9.toml"
    path.write_text(RELEASE.read_text().replace("gaiadr3.", "gaiadr9.").replace('rr.pf"', 'rr.p"'))
    query = Release.read(str(path)).query(StarChoice())
    assert "gaiadr9.vari_rrlyrae AS rr" in query
    assert "rr.p AS pf," in query
    assert "gaiadr3" not in query


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("attempts = 8", "attempts = 0", "'access.attempts' is not valid"),
        ("attempts = 8", "attempt = 8", "'access.attempts' is not valid: field required"),
        ("stars_per_call = 5000", "stars_per_call = 5001", "'access.stars_per_call' is not valid"),
        ('ra = "s.ra"', "", r"\[stars.columns\] has no 'ra'"),
        ("[server]", "[server", "is not TOML"),
        ("https://gea.esac.esa.int", "gea.esac.esa.int", "is no address of an archive"),
    ],
)
def test_mistakes_in_the_file_are_said(tmp_path, old, new, said):
    path = tmp_path / "release.toml"
    text = RELEASE.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=said):
        Release.read(str(path))


def test_what_is_no_release_or_no_address_is_refused():
    with pytest.raises(UserError, match="no release 'gaia_dr7'; give a file, or one of: gaia_dr3"):
        Release.read("gaia_dr7")
    with pytest.raises(UserError, match=r"no file dr7\.toml, in which a release is described"):
        Release.read("dr7.toml")
    with pytest.raises(UserError, match="holds a password") as raised:
        Release.read(DEFAULT, "https://ada:secret@gea.esac.esa.int")
    assert "secret" not in str(raised.value)


def test_credentials_come_from_a_file_of_ones_own(tmp_path):
    path = tmp_path / "gaia"
    path.write_text("ada\nlet me in\n")
    path.chmod(0o644)
    with pytest.raises(UserError, match=r"Others may read .*chmod 600"):
        Login.find(path)
    path.chmod(0o600)
    login = Login.find(path)
    assert login.read() == ("ada", "let me in")
    assert "let me in" not in repr(login)
    path.write_text("ada\n")
    with pytest.raises(UserError, match="is not two lines"):
        Login.find(path)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        Login.find(tmp_path / "none")


def test_credentials_come_from_the_environment(monkeypatch):
    assert Login.find(None) is None
    monkeypatch.setenv(USER, "ada")
    with pytest.raises(UserError, match="not both in the environment"):
        Login.find(None)
    monkeypatch.setenv(PASSWORD, "let me in")
    login = Login.find(None)
    assert login.read() == ("ada", "let me in")
    assert "let me in" not in repr(login)
