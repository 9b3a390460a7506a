"""The two ways in which a command ends early, each with one sentence for the user."""


class UserError(Exception):
    """The input is wrong: the sentence names file, row or star, column and remedy (exit code 2)."""


class RunError(Exception):
    """The input was right and the run failed all the same (exit code 1)."""
