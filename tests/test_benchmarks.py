"""The command line that all benchmarks have."""

from pathlib import Path


def test_the_help_says_what_a_check_compares(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    from record import parser

    assert "ratio fell by more than 30%" in " ".join(parser("A claim.").format_help().split())
