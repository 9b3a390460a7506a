"""Metallicities of RR Lyrae stars from their light curves, at the scale of a survey."""

__version__ = "0.1.0"
