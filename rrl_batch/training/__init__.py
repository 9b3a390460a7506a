"""Training: which stars, with which weights, in which folds, and how well it went."""
