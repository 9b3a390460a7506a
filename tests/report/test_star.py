"""A single star is shown as the catalogue has it, and computed again."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rrl_batch.catalogue.verify import read_catalogue
from rrl_batch.cli import main
from rrl_batch.contracts import CATALOGUE, Flag
from rrl_batch.errors import UserError
from rrl_batch.report.star import look_at_star
from rrl_batch.storage.manifest import MANIFEST


@pytest.fixture(scope="module")
def stars(run):
    return read_catalogue(run.catalogue)


def test_every_column_and_flag_is_told_with_unit_and_meaning(run, stars, capsys):
    star = stars[stars["feh"].notna() & (stars["flags"] & int(Flag.SPARSE) != 0)].iloc[0]
    assert main(["star", str(star["source_id"]), "--catalogue", str(run.catalogue)]) == 0
    told = capsys.readouterr().out
    for column in CATALOGUE.columns:
        assert column.name in told
        assert column.description in told
    assert f"{star['feh']:.3f} dex" in told
    assert f"{star['period']:.7f} d" in told
    assert "SPARSE: fewer than 50 usable epochs" in told
    assert "PHASE_GAP" not in told or star["flags"] & int(Flag.PHASE_GAP)
    assert "it comes out the same, to the last bit" in told
    assert "SYNTHETIC: a simulated star" in told


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_it_is_drawn_in_each_format(run, stars, tmp_path, ending):
    with_feh = stars["feh"].notna() if ending == "png" else stars["feh"].isna()
    star = look_at_star(run.catalogue, int(stars.loc[with_feh, "source_id"].iloc[0]))
    star.draw(tmp_path / f"star.{ending}")
    begin = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    content = (tmp_path / f"star.{ending}").read_bytes()
    assert content.startswith(begin)
    if ending != "pdf":
        assert b"SYNTHETIC: simulated stars" in content


def test_a_star_that_comes_out_otherwise_is_told(run, tmp_path):
    root = shutil.copytree(run.catalogue, tmp_path / "catalogue")
    content = json.loads((root / MANIFEST).read_text())
    path = root / max(content["partitions"], key=lambda one: one["counts"]["predicted"])["path"]
    table = pq.read_table(path, partitioning=None)
    feh = table["feh"].to_pylist()
    row = next(i for i, value in enumerate(feh) if value is not None)
    feh[row] += 0.01
    at = table.column_names.index("feh")
    field = table.schema.field(at)
    pq.write_table(table.set_column(at, field, pa.array(feh, field.type)), path)
    star = look_at_star(root, table["source_id"][row].as_py())
    assert f"Star {star.row['source_id']} comes out otherwise when computed again" in star.remark


def test_without_the_survey_there_is_what_the_catalogue_says(run, stars, tmp_path):
    root = shutil.copytree(run.catalogue, tmp_path / "catalogue")
    content = json.loads((root / MANIFEST).read_text())
    content["provenance"]["survey"]["path"] = "gone"
    (root / MANIFEST).write_text(json.dumps(content))
    name = int(stars["source_id"].iloc[0])
    star = look_at_star(root, name)
    assert star.remark.startswith("Not computed again: There is no survey at gone; say where it is")
    star.draw(tmp_path / "star.png")
    assert look_at_star(root, name, survey=run.survey).curve is not None
    with pytest.raises(UserError, match="There is no survey at"):
        look_at_star(root, name, survey=tmp_path / "nowhere")


def test_mistakes_are_told_before_anything_is_read(run, capsys, tmp_path):
    root = str(run.catalogue)
    assert main(["star", "5", "--catalogue", root, "--plot", "star.jpeg"]) == 2
    assert "has the ending '.jpeg'; a figure is one of: .png, .svg, .pdf" in capsys.readouterr().err
    assert main(["star", "5", "--catalogue", root]) == 2
    assert "Star 5 is none of the 300 stars" in capsys.readouterr().err
    assert main(["star", "5", "--catalogue", str(tmp_path)]) == 2
    assert "holds no dataset" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["star", "9" * 20, "--catalogue", root])
    assert "99999999999999999999 is no identifier of a star" in capsys.readouterr().err
