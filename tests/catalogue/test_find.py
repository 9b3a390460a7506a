"""A star is found where it is, and the other partitions are left alone."""

import numpy as np
import pytest
from helpers import catalogue_rows, write_catalogue

from rrl_batch.catalogue import find
from rrl_batch.catalogue.find import find_star
from rrl_batch.catalogue.verify import read_catalogue, read_manifest
from rrl_batch.errors import UserError


def test_every_star_is_found(tmp_path):
    rows = catalogue_rows(300)
    write_catalogue(tmp_path, rows)
    stars = read_catalogue(tmp_path)
    assert len(read_manifest(tmp_path).partitions) > 3
    for star in stars.sample(20, random_state=1).itertuples():
        row = find_star(tmp_path, star.source_id).row
        assert row["source_id"] == star.source_id
        assert row["flags"] == star.flags
        assert (row["feh"] is None) == np.isnan(star.feh)


def test_only_the_partition_that_an_identifier_names_is_read(run, monkeypatch):
    read = []
    original = find.read_partition

    def recorded(root, receipt, columns):
        read.append(receipt.path)
        return original(root, receipt, columns)

    monkeypatch.setattr(find, "read_partition", recorded)
    manifest = read_manifest(run.catalogue)
    for receipt in manifest.partitions:
        star = original(run.catalogue, receipt, ["source_id"])["source_id"][0].as_py()
        find_star(run.catalogue, star)
    assert len(manifest.partitions) > 3
    assert set(read) == {receipt.path for receipt in manifest.partitions}
    assert len(read) == 2 * len(manifest.partitions)


def test_a_star_that_is_not_there_is_told(run):
    with pytest.raises(UserError, match=r"Star 12 is none of the 300 stars of .*; give the source"):
        find_star(run.catalogue, 12)
