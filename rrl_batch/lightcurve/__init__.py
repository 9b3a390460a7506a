"""From epochs to curves: pure functions on flat arrays, without Dask."""
