"""Credentials for the archive: from the environment or a file, and from nowhere else."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from rrl_batch.errors import UserError

USER, PASSWORD = "RRL_BATCH_GAIA_USER", "RRL_BATCH_GAIA_PASSWORD"


@dataclass(frozen=True)
class Login:
    """Where user name and password are; only the process that speaks to the archive reads them.

    Parameters
    ----------
    file : pathlib.Path or None
        File of two lines, user name and password; if None, they are in the environment.
    """

    file: Path | None

    @classmethod
    def find(cls, file: Path | None) -> "Login | None":
        """Return where credentials are, having read them; None if there are none.

        Parameters
        ----------
        file : pathlib.Path or None
            File, if one is named.

        Raises
        ------
        UserError
            If they are not complete, or others may read the file.
        """
        if file is None and not {USER, PASSWORD} & os.environ.keys():
            return None
        login = cls(file.absolute() if file else None)
        login.read()
        return login

    def read(self) -> tuple[str, str]:
        """Return user name and password.

        Raises
        ------
        UserError
            If they are not complete here, or others may read the file.
        """
        if self.file is None:
            user, password = os.environ.get(USER, ""), os.environ.get(PASSWORD, "")
            if not (user and password):
                raise UserError(
                    f"{USER} and {PASSWORD} are not both in the environment; set both, here and "
                    f"where workers are started, or give a file with --credentials."
                )
            return user, password
        try:
            with self.file.open() as file:
                shared = os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO)
                lines = file.read().split("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise UserError(f"The credentials {self.file} cannot be read: {reason}.") from None
        if shared:
            raise UserError(
                f"Others may read {self.file}, which holds a password; 'chmod 600 {self.file}' "
                f"keeps it to yourself."
            )
        user, password, *rest = [*lines, "", ""]
        if not (user.strip() and password.strip()) or any(line.strip() for line in rest):
            raise UserError(
                f"{self.file} is not two lines, the user name and the password of the archive."
            )
        return user.strip(), password.strip()
