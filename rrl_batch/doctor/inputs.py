"""What the job reads: its survey and labels."""

from collections.abc import Iterator

from rrl_batch.doctor.finding import Finding, fails, ok
from rrl_batch.doctor.subject import Subject
from rrl_batch.sources.tables import read_labels


def inputs(subject: Subject) -> Iterator[Finding]:
    """Open the survey and read the labels; those that the job simulates are not there yet."""
    if subject.job is None:
        return
    if (made := subject.job.simulate) is not None:
        yield ok(f"a survey of {made.stars:,} SYNTHETIC stars, which the run simulates first")
        return
    for name, path in subject.inputs.items():
        if not path.exists():
            yield fails(
                f"there is no {path}, which {name}.path names; correct it in the job file, or give "
                f"--set {name}.path=…"
            )
    if subject.survey is not None:
        yield ok(repr(subject.survey).strip("<>"))
    if (labels := subject.job.labels).path is not None and labels.path.exists():
        found = read_labels(labels.path, labels.scale, fold=labels.fold, rival=labels.rival)
        yield ok(f"{labels.path}: {len(found):,} labels on the scale {found['scale'].iloc[0]}")
