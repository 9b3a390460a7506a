"""What a task says when it cannot be done where it runs."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from helpers import curve_errors

from rrl_batch import tasks
from rrl_batch.errors import RunError
from rrl_batch.inference.model import open_model
from rrl_batch.lightcurve.prepare import PreparedStars
from rrl_batch.storage.sky import Pixel
from rrl_batch.training.problem import FitSettings, MemberId, Plan
from rrl_batch.training.selection import Selection
from rrl_batch.training.shards import write_shard
from rrl_batch.training.start import store_labels


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
        tasks.write_catalogue_partition,
        Crowded(),
        model=model,
        out=tmp_path,
        mark="m",
        about={},
    )
    with pytest.raises(RunError, match=r"Npix=7 needs about 1\.\d+ PiB, and the worker "
                       r"already uses .*; give each worker more"):  # fmt: skip
        task.result()


def test_a_worker_that_is_too_small_for_a_training_set_says_so(client, tmp_path):
    table = pd.DataFrame(
        {"source_id": [1], "best_classification": "RRab", "period": 0.55, "num_epochs_used": 60,
         "phi31": 2.0, "phi31_error": 0.05, "amplitude": 0.8, "mean_mag": 15.0,
         "max_phase_gap": 0.1}
    )  # fmt: skip
    store_labels(tmp_path, table[["source_id"]].assign(feh=-1.5, feh_error=0.1))
    sequences, shape = np.zeros((1, 265, 2), "f4"), np.zeros((1, 16), "f4")
    stars = PreparedStars(table, sequences, shape, curve_errors(1))
    selection = Selection(("RRab",), "amplitude <= 1.4")
    receipt = write_shard([stars], 0, tmp_path, selection, "m")
    whole_universe = [replace(receipt, rows=10**12)]
    plan = Plan(tmp_path, whole_universe, FitSettings(masked=False), tmp_path, "m")
    task = client.submit(tasks.fit_share, ([MemberId("gru", 0, (0,))], plan))
    sentence = r"Training on 1,000,000,000,000 stars needs about 7\.\d+ PiB, .*; give each worker"
    with pytest.raises(RunError, match=sentence):
        task.result()
