"""Quality flags: one bit each in the catalogue's `flags` column, and what they mean."""

from enum import IntFlag


class Flag(IntFlag):
    """Why a metallicity is missing, or when to doubt it (Section "Flags" of the manual)."""

    TOO_FEW_EPOCHS = 1 << 0
    NO_PERIOD = 1 << 1
    BAD_PHOTOMETRY = 1 << 2
    PHASE_GAP = 1 << 3
    SPARSE = 1 << 4
    AMPLITUDE = 1 << 5
    PHI31_UNCERTAIN = 1 << 6
    OUTSIDE_TRAINING_DOMAIN = 1 << 7
    OTHER_MODE = 1 << 8
    SMOOTHING_FAILED = 1 << 9
    COMPUTATION_FAILED = 1 << 10
    DOUBLE_MODE = 1 << 11
    EXCESS_SCATTER = 1 << 12
    PERIOD_DOUBTFUL = 1 << 13
    MODULATED = 1 << 14
    OUTSIDE_SELECTION = 1 << 15


MIN_EPOCHS = 5
"""Fewest usable epochs from which a curve is made."""

MAX_PHASE_GAP = 0.2
"""Largest gap in phase, in cycles, that is not flagged."""

SPARSE_EPOCHS = 50
"""Epochs below which a curve is sparser than the development set of Monti et al. (2024)."""

MIN_AMPLITUDE = 0.01
"""Smallest amplitude in G, in mag, of a curve that pulsates; RR Lyrae stars have above 0.1."""

MAX_AMPLITUDE = 1.4
"""Largest peak-to-peak amplitude in G, in mag, of the development set of Monti et al. (2024)."""

MAX_PHI31_ERROR = 0.10
"""Largest error of phi31, in rad, of the development set of Monti et al. (2024)."""

MAX_SCATTER = 2.75
"""Largest scatter about the curve, over the one that errors let expect, that is not flagged: where
real RRab whose [Fe/H] changes with the epochs that it is made from stand out most from others."""

MAX_RELATIVE_SCATTER = 0.35
"""Largest scatter about the curve, over the amplitude of the first harmonic, where the
period is not doubted."""

MAX_DRIFT = 15.0
"""Largest F statistic of a phase that drifts in time, where the period is not doubted."""

MIN_CONCENTRATION = 1.2
"""How much more than all epochs those that scatter lie where a modulated star's do."""

DESCRIPTIONS = {
    Flag.TOO_FEW_EPOCHS: f"fewer than {MIN_EPOCHS} usable epochs: no metallicity",
    Flag.NO_PERIOD: "no period, or one that is not positive and finite: no metallicity",
    Flag.BAD_PHOTOMETRY: "some epochs were rejected here: not finite, beyond 40 mag, an error that "
    "is not positive, or lists of unequal length (the last leaves no epochs)",
    Flag.PHASE_GAP: f"a gap of more than {MAX_PHASE_GAP} cycles between neighbouring epochs",
    Flag.SPARSE: f"fewer than {SPARSE_EPOCHS} usable epochs",
    Flag.AMPLITUDE: f"the smoothed curve's amplitude is above {MAX_AMPLITUDE} mag",
    Flag.PHI31_UNCERTAIN: f"phi31 is unknown or its error is above {MAX_PHI31_ERROR} rad",
    Flag.OUTSIDE_TRAINING_DOMAIN: "farther from the stars that the model was trained on, in the "
    "shape of its curve, than 99 % of these are from each other: training_distance is above 1",
    Flag.OTHER_MODE: "the model was not trained for this pulsation mode: no metallicity",
    Flag.SMOOTHING_FAILED: "no curve could be fitted to the epochs, or a flat one (amplitude below "
    f"{MIN_AMPLITUDE} mag): no metallicity",
    Flag.COMPUTATION_FAILED: "the program failed on this star, again and again, and passed it by: "
    "no metallicity; please report it",
    Flag.DOUBLE_MODE: "an RRd, which pulsates in two modes; its values are those of its dominant "
    "mode, the first overtone, by what was learnt from RRc",
    Flag.EXCESS_SCATTER: f"epochs scatter about the curve more than {MAX_SCATTER:g} times as much "
    "as their errors let expect (residual_scatter): a modulated star, a second mode, a wrong "
    "period, or photometry that is worse than it says",
    Flag.PERIOD_DOUBTFUL: f"epochs scatter about the curve by more than {MAX_RELATIVE_SCATTER:g} "
    "times the amplitude of its first harmonic, or the phase drifts in time, and it is no RRd: the "
    "period may be wrong",
    Flag.MODULATED: "excess scatter, most of it where the curve is steep or far from its mean, "
    "and a period that is not doubted: a candidate of the Blazhko effect",
    Flag.OUTSIDE_SELECTION: "the star fails a condition that training stars had to fulfil "
    "(select in model.json)",
}

NO_METALLICITY = (
    Flag.TOO_FEW_EPOCHS
    | Flag.NO_PERIOD
    | Flag.OTHER_MODE
    | Flag.SMOOTHING_FAILED
    | Flag.COMPUTATION_FAILED
)
"""Any of these leaves `feh` null; a null `feh` always has one of them."""
