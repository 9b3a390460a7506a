"""The survey and the model that a catalogue was made from, where they are now."""

from pathlib import Path

from rrl_batch.errors import UserError
from rrl_batch.inference.model import Model, open_model
from rrl_batch.storage.manifest import Manifest
from rrl_batch.storage.remote import path_of
from rrl_batch.survey.read import Survey, open_survey


def survey_of(manifest: Manifest, path: Path | None = None) -> Survey:
    """Return the survey that a catalogue was made from.

    Parameters
    ----------
    manifest : Manifest
        The catalogue's.
    path : pathlib.Path, optional
        Where the survey is now; where it was, if not given.

    Raises
    ------
    UserError
        If it is not there, or is another one.
    """
    survey = open_survey(_place(manifest, "survey", path))
    _check(manifest, "survey", survey.path, survey.fingerprint, "from")
    return survey


def model_of(manifest: Manifest, path: Path | None = None) -> Model:
    """Return the model that a catalogue was made with.

    Parameters
    ----------
    manifest : Manifest
        The catalogue's.
    path : pathlib.Path, optional
        Where the model is now; where it was, if not given.

    Raises
    ------
    UserError
        If it is not there, or is another one.
    """
    model = open_model(_place(manifest, "model", path))
    _check(manifest, "model", model.path, model.mark, "with")
    return model


def _place(manifest: Manifest, what: str, path: Path | None) -> Path:
    path = path or path_of(manifest.provenance[what]["path"])
    if not path.exists():
        raise UserError(f"There is no {what} at {path}; say where it is now, by --{what}.")
    return path


def _check(manifest: Manifest, what: str, path: Path, mark: str, made: str) -> None:
    if mark != manifest.provenance["made_from"][what]:
        raise UserError(f"{path} is not the {what} that the catalogue was made {made}.")
