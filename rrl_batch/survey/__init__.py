"""The survey on disk: written along the sky, read as batches of light curves."""
