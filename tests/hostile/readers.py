"""What users and other programs may hand in, as bytes: every reader of the product, by name.

A reader takes the file's bytes, puts them where the product looks for them, and reads them as a
command does. It returns what was said: the sentence of a `UserError` or `RunError`, or nothing.
Anything else that is raised is a fault of the product.
"""

import gzip
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
from bulk_files import SHIFT, row, write_bulk_file
from helpers import catalogue_rows, write_catalogue

from rrl_batch.cluster.events import (
    Advanced,
    EpochEnded,
    JobEnded,
    JobStarted,
    Piece,
    StageStarted,
    TaskDone,
    TaskFailed,
    Warned,
)
from rrl_batch.contracts.histogram import N_BINS
from rrl_batch.errors import RunError, UserError
from rrl_batch.inference.ensemble import cached_ensemble
from rrl_batch.lightcurve.population_prior import PopulationPrior
from rrl_batch.lightcurve.shape import N_SHAPE
from rrl_batch.models.kernel_expansion import KernelExpansion
from rrl_batch.storage.commit import checksum
from rrl_batch.storage.sky import Pixel

LONGEST_SENTENCE = 2_000
"""Characters; what a file holds is quoted in part only."""

STARS = pd.DataFrame(
    {
        "source_id": [(star << SHIFT) + star for star in (1, 2, 3)],
        "ra": [10.0, 20.0, 30.0],
        "dec": [-10.0, 0.0, 30.0],
        "best_classification": ["RRab", "RRc", "RRab"],
        "period": [0.5, 0.3, 0.6],
    }
)


@dataclass(frozen=True)
class Reader:
    """A reader of the product.

    Parameters
    ----------
    file : str
        Name of the file that is read.
    seed : callable
        Returns what such a file should be, to begin with.
    read : callable
        Reads the file, as a command does.
    prepare : callable, optional
        Puts what else is needed into an empty folder.
    """

    file: str
    seed: Callable[[], bytes]
    read: Callable[[Path], object]
    prepare: Callable[[Path], None] | None = None

    def __call__(self, content: bytes, folder: Path) -> str | None:
        """Read some bytes in a folder of their own; return the sentence that is said of them."""
        shutil.rmtree(folder, ignore_errors=True)
        path = folder / self.file
        path.parent.mkdir(parents=True)
        if self.prepare:
            self.prepare(folder)
        path.write_bytes(content)
        return self.refuses(path)

    def refuses(self, path: Path) -> str | None:
        """Read a file; return the sentence that is said of it."""
        try:
            self.read(path)
        except (UserError, RunError) as error:
            said = str(error)
            assert said.isprintable(), f"no plain line of text: {said!r}"
            assert len(said) < LONGEST_SENTENCE, f"no sentence, but {len(said)} characters"
            return said
        return None


def _table(kind: str, stars: pd.DataFrame = STARS) -> bytes:
    from astropy.table import Table

    file = io.BytesIO()
    if kind == "parquet":
        stars.to_parquet(file, index=False)
    elif kind == "csv":
        file.write(stars.to_csv(index=False).encode())
    elif kind == "ecsv":
        text = io.StringIO()
        Table.from_pandas(stars).write(text, format="ascii.ecsv")
        file.write(text.getvalue().encode())
    else:
        Table.from_pandas(stars).write(file, format="votable", tabledata_format=kind)
    return file.getvalue()


def _labels() -> bytes:
    labels = STARS[["source_id"]].assign(feh=-1.5, feh_error=0.1, scale="crestani2021")
    return _table("csv", labels)


def _transits() -> pd.DataFrame:
    n = 12
    return pd.DataFrame(
        {
            "source_id": np.repeat(STARS["source_id"], n // 3).to_numpy(),
            "band": "G",
            "time": np.linspace(1700, 2700, n),
            "mag": np.linspace(15, 16, n),
            "flux_over_error": 50.0,
            "rejected_by_variability": False,
        }
    )


def _survey() -> bytes:
    rng, n = np.random.default_rng(0), 30
    lists = {
        "g_transit_time": list(rng.uniform(1700, 2700, (3, n))),
        "g_transit_mag": list(rng.normal(15, 0.3, (3, n)).astype(np.float32)),
        "g_transit_mag_error": list(np.full((3, n), 0.01, np.float32)),
    }
    file = io.BytesIO()
    STARS.assign(**lists).to_parquet(file, index=False)
    return file.getvalue()


def _read_stars(path: Path) -> None:
    from rrl_batch.sources.tables import read_stars

    read_stars(path)


def _read_labels(path: Path) -> None:
    from rrl_batch.sources.tables import read_labels

    read_labels(path, None)


def _stage_transits(path: Path) -> None:
    from rrl_batch.sources.files import stage_transits
    from rrl_batch.survey.write import plan_partitions

    stars, partitions = plan_partitions(STARS)
    stage_transits(path, stars, partitions, path.parent / "staged")


def _read_survey(path: Path) -> None:
    from rrl_batch.lightcurve.prepare import prepare
    from rrl_batch.survey.read import open_survey

    for piece in open_survey(path.parent).partitions:
        piece.largest_batch()
        for batch in piece.batches():
            prepare(batch, points=16)


def _bulk_file() -> bytes:
    rng = np.random.default_rng(0)
    curve = pd.DataFrame(
        {
            "time": rng.uniform(1700, 2700, 6),
            "mag": rng.normal(15, 0.3, 6),
            "flux_over_error": 50.0,
            "reject": False,
        }
    )
    with TemporaryDirectory() as name:
        path = Path(name) / "bulk.csv"
        write_bulk_file(path, [row(star, curve) for star in STARS["source_id"]])
        return path.read_bytes()


def _read_bulk(path: Path) -> None:
    from rrl_batch.sources.bulk.mirror import files_for
    from rrl_batch.sources.bulk.read import Reader as BulkReader

    ids = STARS["source_id"].to_numpy()
    for file in files_for(path.parent, ids):
        list(BulkReader(file, pa.array(ids)).pieces())


def _job() -> bytes:
    return (Path(__file__).parents[2] / "jobs/search.toml").read_bytes()


def _read_job(path: Path) -> None:
    from rrl_batch.job import read_job

    job = read_job(path)
    if job.experiment:
        job.cases()
    if job.search:
        job.search_points()
    job.absolute(path.parent)


@cache
def _model() -> dict[str, bytes]:
    """Return the files of a small model: two ridge regressors, and two networks beside them."""
    with TemporaryDirectory() as name:
        _write_model(Path(name))
        return {path.name: path.read_bytes() for path in Path(name).iterdir()}


def _write_model(folder: Path) -> None:
    members = []
    for fold in (0, 1):
        zeros = np.zeros(N_SHAPE)
        ridge = KernelExpansion("linear", -1.5, zeros, zeros + 1, zeros[None] + 0.1, np.ones(1))
        members.append((f"ridge_0_{fold}.npz", "ridge", fold))
        ridge.write(folder / members[-1][0])
        members.append((f"gru_0_{fold}.weights.h5", "gru", fold))
        _write_gru(folder / members[-1][0])
    PopulationPrior.first("RRab").write(folder / "population_RRab.json")
    stars = STARS[["source_id"]].assign(feh=-1.5, fold_0=np.array([0, 1, 0], np.int32))
    stars.to_parquet(folder / "out_of_fold.parquet", index=False)
    limits = {"period": (0.4, 0.9), "phi31_offset": (-1, 1), "phi31_centre": 2.0,
              "amplitude": (0.1, 1.4), "select": "num_epochs_used >= 12"}  # fmt: skip
    scores = {"n": 2, "rmse": 0.2, "r2": 0.8}
    line = {"intercept": -1.5, "period_slope": -6.0, "phi31_slope": 1.0, "phi31_centre": 2.0}
    card = {
        "architecture": ["ridge"], "beside": ["gru"], "static": "none", "dropout": None,
        "preprocess": {"dataset": "preprocessed", "alignment": "fourier",
                       "smoothing": "population", "points": 16},
        "priors": {"RRab": {"file": "population_RRab.json", "sha256": ""}},
        "modes": ["RRab"], "scale": "crestani2021", "synthetic": True,
        "members": [{"file": file, "sha256": "", "architecture": kind, "repeat": 0, "fold": fold,
                     "epochs": 1} for file, kind, fold in members],
        "baseline": {"RRab": [line] * 3}, "domain": {"RRab": limits},
        "calibration": [_calibration()] * 3,
        "metrics": {"network": scores, "baseline": scores}, "training": {}, "out_of_fold": "",
        "made_from": {},
        "stars": {"labels": 3, "not_in_survey": 0, "cuts": [], "trained_on": 3},
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(card))
    _name_anew(folder)


def _calibration() -> dict[str, object]:
    five = [0.0] * 5
    return {"power": 1.0, "floor": 0.2, "of_noise": 1.0, "of_spread": 1.0,
            "lowest": five, "highest": [1.0] * 5, "centre": five, "unit": [1.0] * 5,
            "slope": five, "curvature": five, "multiples": [1.0, 2.0]}  # fmt: skip


def _write_gru(path: Path) -> None:
    """Write what Keras would of two layers of GRU of four units and a dense one."""
    rng = np.random.default_rng(0)
    arrays = {
        "gru/cell": [(2, 12), (4, 12), (2, 12)],
        "gru_1/cell": [(4, 12), (4, 12), (2, 12)],
        "dense": [(4, 1), (1,)],
    }
    with h5py.File(path, "w") as file:
        for layer, shapes in arrays.items():
            for number, shape in enumerate(shapes):
                values = rng.normal(0, 0.1, shape).astype(np.float32)
                file[f"layers/{layer}/vars/{number}"] = values


def _put_model(folder: Path) -> None:
    for name, content in _model().items():
        (folder / name).write_bytes(content)


def _name_anew(folder: Path) -> None:
    """Let the card of a model name the files that are there, as who made them could."""
    card = json.loads((folder / "model.json").read_text())
    for member in [*card["members"], *card["priors"].values()]:
        member["sha256"] = checksum(folder / member["file"])
    card["out_of_fold"] = checksum(folder / "out_of_fold.parquet")
    (folder / "model.json").write_text(json.dumps(card))


def _read_model(path: Path) -> None:
    from rrl_batch.inference.model import open_model
    from rrl_batch.survey.read import open_survey

    if path.name != "model.json" and path.is_file():
        _name_anew(path.parent)
    model = open_model(path.parent)
    repr(model)
    cached_ensemble.cache_clear()
    (survey := path.parent / "survey").mkdir()
    (survey / "stars.parquet").write_bytes(_survey())
    for piece in open_survey(survey).partitions:
        for batch in piece.batches():
            model.predict(batch)


@cache
def _catalogue() -> dict[str, bytes]:
    """Return the files of a small catalogue."""
    with TemporaryDirectory() as name:
        root = Path(name) / "catalogue"
        write_catalogue(root, catalogue_rows(60))
        files = {p: p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
        return {str(path.relative_to(root)): content for path, content in files.items()}


def _put_catalogue(folder: Path) -> None:
    for name, content in _catalogue().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _read_catalogue(path: Path) -> None:
    from rrl_batch.catalogue.verify import read_catalogue, verify

    verify(path.parent)
    read_catalogue(path.parent)


def _claim(path: Path) -> None:
    from rrl_batch.storage.manifest import claim

    claim(path.parent, "survey", {"seed": 1})


_EVENTS = [
    JobStarted(time=1.0, job="sky-1", title="A small sky"),
    StageStarted(time=2.0, job="sky-1", stage="predict", began=2.0, unit="stars", planned=[9.0],
                 pixels=[[Pixel(2, 7)]]),
    Advanced(time=3.0, job="sky-1", stage="predict", began=2.0, task=0, done=4.0),
    TaskDone(time=4.0, job="sky-1", stage="predict", began=2.0, task=0, amount=9.0, fresh=5.0,
             pieces=[Piece(Pixel(2, 7), 9, {"SPARSE": 1}, -1.5, [0] * N_BINS)]),
    EpochEnded(time=4.0, job="sky-1", stage="train", began=3.0, member="gru", epoch=1, loss=0.1),
    TaskFailed(time=5.0, job="sky-1", stage="predict", began=2.0, task=0, reason="memory"),
    Warned(time=6.0, job="sky-1", message="no workers"),
    JobEnded(time=7.0, job="sky-1", state="failed", message="memory"),
]  # fmt: skip


def _events() -> bytes:
    return "".join(event.to_json() + "\n" for event in _EVENTS).encode()


def _put_job(folder: Path) -> None:
    (folder / "sky-1/job.toml").write_text("")
    (folder / "sky-1/events.jsonl").write_bytes(_events())
    (folder / "sky-1/driver.json").write_text(_driver().decode())


def _driver() -> bytes:
    return json.dumps({"host": "head", "pid": 1, "token": "a"}).encode()


def _log() -> bytes:
    line = {"time": "2026-01-01T00:00:00+00:00", "level": "INFO", "job": "sky-1", "message": "ok"}
    return (json.dumps(line) + "\n").encode()


def _look_at_job(path: Path) -> None:
    from rich.console import Console

    from rrl_batch.cluster.jobs import JobFolder
    from rrl_batch.cluster.logs import read_log
    from rrl_batch.cluster.screen import job_screen, jobs_table

    folder = JobFolder(path.parent)
    view, console = folder.look(), Console(file=io.StringIO())
    console.print(job_screen(view, 100.0))
    console.print(jobs_table([view], 100.0))
    list(read_log(folder))


READERS = {
    "stars.parquet": Reader("stars.parquet", lambda: _table("parquet"), _read_stars),
    "stars.csv": Reader("stars.csv", lambda: _table("csv"), _read_stars),
    "stars.csv.gz": Reader("stars.csv.gz", lambda: gzip.compress(_table("csv")), _read_stars),
    "stars.ecsv": Reader("stars.ecsv", lambda: _table("ecsv"), _read_stars),
    "stars.vot": Reader("stars.vot", lambda: _table("tabledata"), _read_stars),
    "binary.vot": Reader("stars.vot", lambda: _table("binary2"), _read_stars),
    "stars.vot.gz": Reader("stars.vot.gz", lambda: gzip.compress(_table("tabledata")), _read_stars),
    "labels.csv": Reader("labels.csv", _labels, _read_labels),
    "transits.parquet": Reader(
        "transits.parquet", lambda: _table("parquet", _transits()), _stage_transits
    ),
    "transits.csv": Reader("transits.csv", lambda: _table("csv", _transits()), _stage_transits),
    "bulk": Reader("EpochPhotometry_000000-000009.csv", _bulk_file, _read_bulk),
    "bulk.gz": Reader(
        "EpochPhotometry_000000-000009.csv.gz", lambda: gzip.compress(_bulk_file()), _read_bulk
    ),
    "survey": Reader("stars.parquet", _survey, _read_survey),
    "job": Reader("job.toml", _job, _read_job),
    "model.json": Reader("model.json", lambda: _model()["model.json"], _read_model, _put_model),
    "out_of_fold": Reader(
        "out_of_fold.parquet", lambda: _model()["out_of_fold.parquet"], _read_model, _put_model
    ),
    "ridge": Reader("ridge_0_0.npz", lambda: _model()["ridge_0_0.npz"], _read_model, _put_model),
    "weights": Reader(
        "gru_0_0.weights.h5", lambda: _model()["gru_0_0.weights.h5"], _read_model, _put_model
    ),
    "prior": Reader(
        "population_RRab.json", lambda: _model()["population_RRab.json"], _read_model, _put_model
    ),
    "manifest": Reader(
        "manifest.json", lambda: _catalogue()["manifest.json"], _read_catalogue, _put_catalogue
    ),
    "claim": Reader("run.json", lambda: b'{"kind": "survey", "made_from": {}}', _claim),
    "events": Reader("sky-1/events.jsonl", _events, _look_at_job, _put_job),
    "driver": Reader("sky-1/driver.json", _driver, _look_at_job, _put_job),
    "log": Reader("sky-1/log.jsonl", _log, _look_at_job, _put_job),
}
