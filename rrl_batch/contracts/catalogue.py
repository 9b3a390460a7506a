"""The catalogue: one row for every star of the survey that was asked for."""

import pyarrow as pa

from rrl_batch.contracts.columns import Column, Contract
from rrl_batch.contracts.survey import STARS

F32 = pa.float32()

IDENTIFICATION = STARS.select(["source_id", "ra", "dec", "best_classification", "period"])
"""What the catalogue takes from the survey's star table as it is; all else is measured here."""

CATALOGUE = Contract(
    "catalogue",
    (
        *IDENTIFICATION.columns,
        Column("feh", F32, "dex", "phys.abund.Z",
               "Metallicity [Fe/H] on the scale of the model's labels"),
        Column("feh_error", F32, "dex", "stat.error;phys.abund.Z",
               "Total error of feh: half the width of the 68 % interval, calibrated star by star "
               "on labels that the model had not seen"),
        Column("feh_model_error", F32, "dex", "stat.stdev;phys.abund.Z",
               "Standard deviation of the ensemble's members; null where there is one only"),
        Column("feh_noise_error", F32, "dex", "stat.error;phys.abund.Z",
               "Error of feh that the noise of the photometry and the error of the period cause"),
        Column("feh_gru", F32, "dex", "phys.abund.Z",
               "The network ensemble's own value of feh"),
        Column("feh_lo", F32, "dex", "phys.abund.Z;stat.min",
               "Lower end of the 68 % interval of feh"),
        Column("feh_hi", F32, "dex", "phys.abund.Z;stat.max",
               "Upper end of the 68 % interval of feh"),
        Column("feh_lo95", F32, "dex", "phys.abund.Z;stat.min",
               "Lower end of the 95 % interval of feh"),
        Column("feh_hi95", F32, "dex", "phys.abund.Z;stat.max",
               "Upper end of the 95 % interval of feh"),
        Column("feh_baseline", F32, "dex", "phys.abund.Z",
               "Value of the linear relation in period and phi31, fitted to the same labels"),
        Column("int_average_g", F32, "mag", "phot.mag;stat.mean;em.opt",
               "Intensity-averaged G magnitude of the smoothed curve"),
        Column("amplitude_g", F32, "mag", "src.var.amplitude;em.opt",
               "Peak-to-peak amplitude in G of the smoothed curve"),
        Column("phi31_g", F32, "rad", "src.var",
               "Fourier phase difference phi3 - 3 phi1 in G, measured on the epochs used (cosine "
               "convention)"),
        Column("phi31_g_error", F32, "rad", "stat.error;src.var",
               "Standard error of phi31_g"),
        Column("phase_gap", F32, None, "time.phase;stat.max",
               "Largest gap in phase between neighbouring epochs, in cycles"),
        Column("num_epochs_used", pa.int32(), None, "meta.number",
               "Number of epochs that the curve was made from", nullable=False),
        Column("flags", pa.int32(), None, "meta.code.qual",
               "Quality flags, a bit each", nullable=False),
    ),
)  # fmt: skip
