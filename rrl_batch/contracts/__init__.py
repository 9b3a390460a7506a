"""What the tables hold: columns of survey, labels and catalogue, and the quality flags."""

from rrl_batch.contracts.catalogue import CATALOGUE
from rrl_batch.contracts.columns import Column, Contract
from rrl_batch.contracts.flags import Flag
from rrl_batch.contracts.labels import LABELS
from rrl_batch.contracts.survey import STARS, SURVEY, TRANSITS

__all__ = ["CATALOGUE", "LABELS", "STARS", "SURVEY", "TRANSITS", "Column", "Contract", "Flag"]
