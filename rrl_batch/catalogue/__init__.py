"""The catalogue: written partition by partition, verified, exported."""
