"""Where the tasks run, and what the user sees of them."""
