"""What an experiment has found: its folder, and the tables that follow from what is in it."""
