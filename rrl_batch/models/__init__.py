"""Networks that regress [Fe/H] from a curve, the linear baseline, and the folder they live in."""
