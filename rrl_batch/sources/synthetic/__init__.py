"""A synthetic all-sky survey with the numbers, the sky and the light curves of Gaia DR3."""

from rrl_batch.sources.synthetic.photometry import LightCurves, simulate_light_curves
from rrl_batch.sources.synthetic.stars import simulate_stars

__all__ = ["LightCurves", "simulate_light_curves", "simulate_stars"]
