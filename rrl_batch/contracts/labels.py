"""The labels: metallicities that networks are trained on and catalogues are compared with."""

import pyarrow as pa

from rrl_batch.contracts.columns import Column, Contract

LABELS = Contract(
    "label",
    (
        Column("source_id", pa.int64(), None, "meta.id;meta.main",
               "Unique identifier of the star", nullable=False),
        Column("feh", pa.float64(), "dex", "phys.abund.Z",
               "Metallicity [Fe/H] on the named scale"),
        Column("feh_error", pa.float64(), "dex", "stat.error;phys.abund.Z",
               "Standard error of feh; null where it is unknown", required=False),
        Column("scale", pa.string(), None, "meta.code",
               "Name of the metallicity scale", nullable=False),
    ),
)  # fmt: skip

FOLD = Column("fold", pa.int32(), None, "meta.id.part",
              "Fold of a cross-validation in which the star is held out")  # fmt: skip

RIVAL = Column("rival", pa.float64(), "dex", "phys.abund.Z",
               "Metallicity that another work predicts without having seen the label")  # fmt: skip
