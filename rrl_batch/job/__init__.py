"""A job file: what to read, how to prepare it, what to train, what to write, and where to run.

Every option is a field of a section, with its default, unit and meaning. A job file is TOML with
these sections; ``--set section.key=value`` on the command line overrides it, and
``--set simulate=false`` takes a section out.
"""

from rrl_batch.job.cluster import CLUSTER_OPTIONS, NEEDED_OPTIONS, ClusterSection
from rrl_batch.job.comparison import ExperimentSection, SearchSection
from rrl_batch.job.file import read_job
from rrl_batch.job.predictor import ModelSection, TrainingSection
from rrl_batch.job.whole import Job, make_job

__all__ = [
    "CLUSTER_OPTIONS",
    "NEEDED_OPTIONS",
    "ClusterSection",
    "ExperimentSection",
    "Job",
    "ModelSection",
    "SearchSection",
    "TrainingSection",
    "make_job",
    "read_job",
]
