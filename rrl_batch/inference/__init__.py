"""Inference: the ensemble's prediction for every star, its error, and its flags."""
