"""What the selection of training stars has removed, as pages show it."""

from rrl_batch.contracts.training import StarCounts
from rrl_batch.report.html import Table, count

_NOTE = (
    "Labelled stars that each cut has removed of those that the cuts before it have left, that it "
    "would remove alone, and that come to it without a value which it needs: a comparison with an "
    "unknown value is false."
)


def selection_table(stars: StarCounts, place: str, title: str) -> Table:
    """Return the table of what has become of the labels of a training set.

    Parameters
    ----------
    stars : StarCounts
        What has become of them.
    place : str
        Name of its place on the page.
    title : str
        Its heading.
    """
    counts = (
        f"{count(stars.labels)} labels, {count(stars.not_in_survey)} of them of stars that are not "
        f"in the survey; {count(stars.trained_on)} stars remain to train on."
    )
    rows = [[c.cut, count(c.removed), count(c.alone), count(c.unknown)] for c in stars.cuts]
    return Table(place, title, f"{counts} {_NOTE}", ["Cut", "Removed", "Alone", "Unknown"], rows)
