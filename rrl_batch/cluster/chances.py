"""What becomes of tasks that have failed: which are done again, and how."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from rrl_batch.errors import PassingError, RunError, UserError

if TYPE_CHECKING:
    from distributed import Client, Future

_RETRIES = 3
_RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


class SecondChances:
    """Tasks of a stage that have failed, and are done again.

    Parameters
    ----------
    client : distributed.Client
        The cluster's client.
    stage : str
        What is being done.
    again : callable or None
        From a task's number, and whether it shall be careful, to another one in its place; without,
        Dask is asked to do the task again, and none is careful.
    careful : bool
        Whether tasks can be careful.
    """

    def __init__(
        self,
        client: "Client",
        stage: str,
        again: "Callable[[int, bool], Future] | None",
        careful: bool = False,
    ) -> None:
        self._client, self._stage, self._again = client, stage, again
        self._can_be_careful = careful
        self._tries: Counter[int] = Counter()
        self._careful: set[int] = set()
        self._not_before: dict[Future, float] = {}
        self._told = ""

    def chance_of(self, future: "Future", number: int) -> "Future | None":
        """Return what is waited for instead of a task that has failed, if anything.

        Parameters
        ----------
        future : distributed.Future
            A task that has ended.
        number : int
            Its number among the tasks of the stage.
        """
        from distributed import KilledWorker

        if future.status != "error":
            return None
        if future in self._not_before:
            return self._once_it_is_time(future, number)
        error = future.exception()
        killed = isinstance(error, KilledWorker)
        to_be_careful = self._can_be_careful and number not in self._careful
        passing = isinstance(error, (OSError, PassingError)) or (killed and not to_be_careful)
        if passing and self._tries[number] < _RETRIES:
            self._tries[number] += 1
            self._tell(error, "it is done again")
            self._not_before[future] = time.monotonic() + _RETRY_SECONDS * self._tries[number]
            return future
        its_fault = killed or not isinstance(error, (UserError, RunError, OSError))
        if self._again and to_be_careful and its_fault:
            self._careful.add(number)
            self._tell(error, "it is done again star by star where need be")
            return self._again(number, True)
        return None

    def _tell(self, error: BaseException, what_then: str) -> None:
        """Say what becomes of a task; of those that needed it, and fail with it, not once more."""
        sentence = f"a task has failed ({error}); {what_then}"
        if sentence != self._told:
            log.warning("%s: %s.", self._stage, sentence)
            self._told = sentence

    def _once_it_is_time(self, future: "Future", number: int) -> "Future | None":
        if time.monotonic() <= self._not_before[future]:
            return future
        del self._not_before[future]
        if self._again:
            return self._again(number, number in self._careful)
        try:
            self._client.retry([future])
        except KeyError:  # of one that this one is made of, and that the client has not asked for
            return None
        return future
