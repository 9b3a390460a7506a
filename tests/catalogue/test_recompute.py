"""Stars are computed again, and whatever has changed in their rows is found."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rrl_batch.catalogue.recompute import recompute
from rrl_batch.cli import main
from rrl_batch.errors import UserError
from rrl_batch.storage.commit import checksum
from rrl_batch.storage.manifest import MANIFEST, Manifest


def test_all_stars_come_out_the_same_to_the_bit(run):
    assert recompute(run.catalogue, 1_000, 0) == (300, [])


def test_a_value_that_was_changed_is_found_though_checksums_fit(run, tmp_path, capsys):
    root = shutil.copytree(run.catalogue, tmp_path / "catalogue")
    receipt = max(Manifest.read(root).partitions, key=lambda receipt: receipt.counts["predicted"])
    table = pq.read_table(root / receipt.path, partitioning=None)
    feh = table["feh"].to_pylist()
    row = next(i for i, value in enumerate(feh) if value is not None)
    feh[row] += 1e-6
    at = table.column_names.index("feh")
    field = table.schema.field(at)
    pq.write_table(table.set_column(at, field, pa.array(feh, field.type)), root / receipt.path)
    content = json.loads((root / MANIFEST).read_text())
    for one in content["partitions"]:
        if one["path"] == receipt.path:
            one["sha256"] = checksum(root / receipt.path)
    (root / MANIFEST).write_text(json.dumps(content))

    found, faults = recompute(root, 300, 0)
    star = table["source_id"][row]
    assert found == 300
    assert len(faults) == 1
    assert faults[0].startswith(f"Star {star} comes out otherwise when computed again: feh -")
    where = ["--survey", str(run.survey), "--model", str(run.model)]
    assert main(["verify", str(root), "--deep", "--stars", "300", *where]) == 1
    assert "1 of 300 stars" in capsys.readouterr().err


def test_the_sample_is_as_large_as_asked_for_and_told(run, capsys):
    assert main(["verify", str(run.catalogue), "--deep", "--stars", "7", "--seed", "3"]) == 0
    assert "7 stars computed again (seed 3), to the same bit" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["verify", str(run.catalogue), "--deep", "--stars", "0"])


def test_another_survey_or_model_is_refused(run, tmp_path):
    (tmp_path / "survey").mkdir()
    shutil.copy(next((run.survey / "dataset").rglob("Npix*")), tmp_path / "survey")
    with pytest.raises(UserError, match="is not the survey that the catalogue was made from"):
        recompute(run.catalogue, 5, 0, survey=tmp_path / "survey")
    with pytest.raises(UserError, match=r"There is no model at .*; say where it is now, by --mod"):
        recompute(run.catalogue, 5, 0, model=tmp_path / "model")
