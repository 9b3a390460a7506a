"""What a task says when it cannot be done where it runs."""

from dataclasses import dataclass

import pytest

from rrl_batch import tasks
from rrl_batch.errors import RunError
from rrl_batch.inference.model import open_model
from rrl_batch.storage.sky import Pixel


@dataclass(frozen=True)
class Crowded:
    """A piece of the sky with more epochs in a batch than any worker has memory for."""

    pixel = Pixel(3, 7)

    def largest_batch(self):
        return 5_000, 10**13

    def batches(self):
        pytest.fail("it was read all the same")


def test_a_worker_that_is_too_small_for_a_partition_says_so(client, run, tmp_path):
    model = open_model(run.model)
    task = client.submit(
        tasks.write_catalogue_partition, Crowded(), model=model, out=tmp_path, description="d"
    )
    with pytest.raises(RunError, match=r"Npix=7\.parquet needs about 1\.\d+ PiB, and the worker "
                       r"already uses .*; give each worker more"):  # fmt: skip
        task.result()
