"""Stars and light curves from the Gaia archive: TAP for the table of stars, DataLink for curves."""
