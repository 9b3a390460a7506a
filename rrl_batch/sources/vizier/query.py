"""Get a table from VizieR, by astroquery."""

import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from rrl_batch.errors import RunError, UserError
from rrl_batch.sources.tables import to_arrow

if TYPE_CHECKING:
    from astropy.io.votable.tree import TableElement, VOTableFile
    from requests import Response


def vizier_tables(name: str, server: str, silence: float) -> dict[str, pa.Table]:
    """Return a table of VizieR, or all tables of a catalogue, with all rows and columns.

    Parameters
    ----------
    name : str
        Name of the table or catalogue.
    server : str
        VizieR, or a mirror of it.
    silence : float
        Seconds without an answer after which it counts as gone.

    Returns
    -------
    dict of str to pyarrow.Table
        The tables by name; units are in the fields' metadata.

    Raises
    ------
    UserError
        If VizieR has no such table.
    RunError
        If VizieR cannot be reached, or its answer is none.
    """
    from astropy.utils.exceptions import AstropyWarning

    answer = _ask(name, server, silence)
    try:
        with warnings.catch_warnings():
            # deviations from the standard that do not touch the values
            warnings.simplefilter("ignore", AstropyWarning)
            document = _parse(answer.content)
            found = {table.name: to_arrow(table.to_table(use_names_over_ids=True))
                     for table in _tables(document)}  # fmt: skip
    except (ValueError, LookupError, TypeError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise RunError(
            f"{server} has answered with no VOTable, or with a part of one ({reason}; it begins "
            f"with {answer.text[:60]!r}); try again later."
        ) from None
    said = _said(document)
    if said.get("QUERY_STATUS") == "OVERFLOW":
        raise RunError(f"{server} has cut '{name}' short; try again later, or give a mirror.")
    refusal = said.get("Errors") or said.get("ERROR")
    if refusal or not found:
        raise UserError(
            f"{server} has no table '{name}'{f' ({refusal})' if refusal else ''}; look for it at "
            f"https://{server} and name it in a file given with --published."
        )
    return found


def _ask(name: str, server: str, silence: float) -> "Response":
    import requests
    from astroquery import cache_conf
    from astroquery.vizier import Vizier

    vizier = Vizier(columns=["**"], row_limit=-1, vizier_server=server, timeout=silence)
    try:
        # it would keep the answer for a week, as a pickle
        with cache_conf.set_temp("cache_active", False):
            answer = vizier.get_catalogs_async(name)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise RunError(
            f"{server} could not be asked for {name}: {_reason(error)}; try again later, or give "
            f"a mirror as 'server' in a file given with --published."
        ) from None
    return answer


def _reason(error: Exception) -> str:
    """Return what is at the bottom of an error of the HTTP library, in one line."""
    while (cause := error.__cause__ or error.__context__) and isinstance(cause, Exception):
        error = cause
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def _parse(content: bytes) -> "VOTableFile":
    from astropy.io.votable import parse

    return parse(io.BytesIO(content), verify="ignore")


def _tables(document: "VOTableFile") -> "Iterator[TableElement]":
    return (table for table in document.iter_tables() if len(table.array))


def _said(document: "VOTableFile") -> dict[str, str]:
    """Return what VizieR says about its answer, by the kind of what it says."""
    parts = [document, *document.resources]
    said = {str(info.name): str(info.value) for part in parts for info in part.infos}
    if said.get("QUERY_STATUS") == "ERROR":
        (said["ERROR"], *_) = (
            str(info.content) for part in parts for info in part.infos
            if info.name == "QUERY_STATUS"
        )  # fmt: skip
    return said
