"""The tables of an experiment: its stars, what was predicted for them, and how members learnt."""

import pyarrow as pa

from rrl_batch.contracts.columns import Column, Contract

F64, I32 = pa.float64(), pa.int32()
# a case has hundreds of thousands of rows and a name of a few characters
NAME = pa.dictionary(I32, pa.string())

_STAR = Column("source_id", pa.int64(), None, "meta.id;meta.main",
               "Unique identifier of the star", nullable=False)  # fmt: skip
_CASE = Column("case", NAME, None, "meta.id",
               "Name of the case, as in experiment.json", nullable=False)  # fmt: skip
_SPLIT = (
    Column("repeat", I32, None, "meta.id", "Repeat of the cross-validation, from 0",
           nullable=False),
    Column("fold", I32, None, "meta.id", "Fold that the member has never seen, from 0",
           nullable=False),
)  # fmt: skip
_MEMBER = (
    _CASE,
    Column(
        "architecture",
        NAME,
        None,
        "meta.id",
        "Kind of the member, and the pulsation mode that it is for, if for one",
        nullable=False,
    ),
    *_SPLIT,
)

COMPARED_STARS = Contract(
    "compared star",
    (
        _STAR,
        Column("feh", F64, "dex", "phys.abund.Z", "Label: the metallicity [Fe/H]", nullable=False),
        Column("feh_error", F64, "dex", "stat.error;phys.abund.Z",
               "Standard error of the label; null where it is unknown"),
        Column("best_classification", pa.string(), None, "meta.code.class",
               "Pulsation mode: RRab, RRc or RRd"),
        Column("period", F64, "d", "time.period", "Pulsation period"),
        Column("phi31", F64, "rad", "src.var",
               "Fourier phase difference phi3 - 3 phi1 (cosine convention)"),
        Column("amplitude", F64, "mag", "src.var.amplitude", "Amplitude of the smoothed curve"),
        Column("num_epochs_used", I32, None, "meta.number", "Number of usable epochs"),
        Column("noise", F64, "mag", "stat.stdev;phot.mag", "Photometric noise of an epoch"),
        Column("rival", F64, "dex", "phys.abund.Z",
               "Published out-of-fold prediction of the rival", required=False),
    ),
)  # fmt: skip

OUT_OF_FOLD = Contract(
    "out-of-fold prediction",
    (
        _CASE,
        _STAR,
        *_SPLIT,
        Column("predicted", F64, "dex", "phys.abund.Z",
               "[Fe/H] from the member that has never seen the star; not a number where that "
               "member diverged"),
        Column("fitted", F64, "dex", "phys.abund.Z",
               "[Fe/H] from the members that have learnt from the star, their mean; not a number "
               "where there is none", required=False),
    ),
)  # fmt: skip

MEMBERS = Contract(
    "member",
    (
        *_MEMBER,
        Column("epochs", I32, None, "meta.number", "Passes up to the weights that were kept"),
        Column("epochs_run", I32, None, "meta.number", "Passes in all"),
        Column("n_training", I32, None, "meta.number", "Stars that the member learnt from"),
        Column("rmse", F64, "dex", "stat.error", "Root mean square error, training stars"),
        Column("mae", F64, "dex", "stat.error", "Mean absolute error, training stars"),
        Column("r2", F64, None, "stat.correlation", "R squared, training stars"),
        Column("wrmse", F64, "dex", "stat.error", "Weighted RMSE, training stars"),
        Column("wmae", F64, "dex", "stat.error", "Weighted MAE, training stars"),
    ),
)  # fmt: skip

HISTORY = Contract(
    "training history",
    (
        *_MEMBER,
        Column("epoch", I32, None, "meta.number", "Pass over the training stars", nullable=False),
        Column("training_loss", F64, None, "stat.fit.residual", "Loss of the training stars"),
        Column("stopping_loss", F64, None, "stat.fit.residual", "Loss of the stopping stars"),
    ),
)  # fmt: skip
