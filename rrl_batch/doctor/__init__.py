"""What this machine and a cluster can do, and what is missing: a file for each concern."""
