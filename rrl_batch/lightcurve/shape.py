"""Shape parameters of a light curve: numbers that say what a network sees in the curve itself."""

SHAPE_COLUMNS = (
    "period",
    "a1",
    *(f"re{k}1" for k in range(2, 8)),
    *(f"im{k}1" for k in range(2, 8)),
    "log_noise",
    "log_epochs",
)
"""Period, in days; amplitude of the first harmonic, in mag; real and imaginary parts of
A_k / A_1 · exp(i φ_k1); logarithms of the noise, in mag, and of the number of usable epochs."""

N_SHAPE = len(SHAPE_COLUMNS)
