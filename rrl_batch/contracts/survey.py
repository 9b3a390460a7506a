"""The survey: one row a star, its light curve in list columns, names as in the Gaia archive."""

import pyarrow as pa

from rrl_batch.contracts.columns import Column, Contract

F32, F64 = pa.float32(), pa.float64()

STARS = Contract(
    "star",
    (
        Column("source_id", pa.int64(), None, "meta.id;meta.main",
               "Unique identifier of the star", nullable=False),
        Column("ra", F64, "deg", "pos.eq.ra;meta.main", "Right ascension (ICRS)"),
        Column("dec", F64, "deg", "pos.eq.dec;meta.main", "Declination (ICRS)"),
        Column("best_classification", pa.string(), None, "meta.code.class",
               "Pulsation mode: RRab, RRc or RRd"),
        Column("period", F64, "d", "time.period",
               "Pulsation period: pf of RRab, p1_o of RRc and RRd"),
        Column("epoch_g", F64, "d", "time.epoch",
               "Time of maximum light in G, BJD(TCB) - 2455197.5", required=False),
        Column("int_average_g", F32, "mag", "phot.mag;stat.mean;em.opt",
               "Intensity-averaged G magnitude", required=False),
        Column("peak_to_peak_g", F32, "mag", "src.var.amplitude;em.opt",
               "Peak-to-peak amplitude in G", required=False),
        Column("phi31_g", F32, "rad", "src.var",
               "Fourier phase difference phi3 - 3 phi1 in G (cosine convention)", required=False),
        Column("phi31_g_error", F32, "rad", "stat.error;src.var",
               "Standard error of phi31_g", required=False),
        Column("num_clean_epochs_g", pa.int32(), None, "meta.number",
               "Number of G transits that were accepted", required=False),
    ),
)  # fmt: skip

TRANSITS = Contract(
    "transit",
    (
        Column("g_transit_time", pa.list_(F64), "d", "time.epoch",
               "Times of the transits, BJD(TCB) - 2455197.5"),
        Column("g_transit_mag", pa.list_(F32), "mag", "phot.mag;em.opt",
               "G magnitudes of the transits"),
        Column("g_transit_mag_error", pa.list_(F32), "mag", "stat.error;phot.mag;em.opt",
               "Standard errors of the magnitudes; no list where they are unknown",
               required=False),
    ),
)  # fmt: skip

SURVEY = Contract("survey", STARS.columns + TRANSITS.columns)
