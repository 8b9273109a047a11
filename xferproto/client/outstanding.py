"""The files of a bulk request that have no outcome yet: a connection's end loses none of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from xferproto.client.callbacks import OnResult
from xferproto.model.entry import Entry

MOST_AGAIN = 1024
"""The most files that wait for another try before others are taken."""

F = TypeVar("F", bound=tuple[Any, Any])


@dataclass(slots=True)
class _Taken(Generic[F]):
    """
    A file that was taken from the caller.

    @ivar failed: how many tries have failed.
    """

    file: F
    failed: int = 0


class Outstanding(Generic[F]):
    """
    Take files from the caller, and give each to connections until it has an outcome.

    @param files: the caller's; taken as they are needed.
    @param on_result: called once for each file.
    @param tries: how often a file is tried before its last failure is reported.
    @param worth: whether a failure may go well the next time.
    @ivar raised: what C{files} or C{on_result} raised; then nothing is tried any more.
    """

    def __init__(
        self,
        files: Iterable[F],
        on_result: OnResult,
        tries: int,
        worth: Callable[[Exception], bool],
    ) -> None:
        self._files = iter(files)
        self._on_result = on_result
        self._tries = tries
        self._worth = worth
        self._left: deque[_Taken[F]] = deque()
        self._under_way: deque[_Taken[F]] = deque()
        self._again: deque[_Taken[F]] = deque()
        self._last: Exception | None = None
        self._ended = False
        self._heard = False
        self.raised: Exception | None = None

    def files(self) -> Iterator[F]:
        """
        Generate the files for a connection: first those that were under way on one before, then
        new ones.

        It ends when all are taken, or too many wait for another try.
        """
        self._left.extendleft(reversed(self._under_way))
        self._under_way.clear()
        while (taken := self._take()) is not None:
            self._under_way.append(taken)
            yield taken.file

    def _take(self) -> _Taken[F] | None:
        if self._left:
            return self._left.popleft()
        if self._ended or len(self._again) >= MOST_AGAIN:
            return None
        try:
            return _Taken(next(self._files))
        except StopIteration:
            self._ended = True
            return None
        except Exception as error:
            self.raised = error
            raise

    def heard(self, name: str, outcome: Entry | Exception) -> None:
        """Report the outcome of the file that is longest under way, or try it again later."""
        taken = self._under_way.popleft()
        self._heard = True
        if isinstance(outcome, Exception) and self._worth(outcome):
            taken.failed += 1
            if taken.failed < self._tries:
                self._again.append(taken)
                self._last = outcome
                return
        try:
            self._on_result(name, outcome)
        except Exception as error:
            self.raised = error
            raise

    def came_along(self) -> bool:
        """Whether there was any outcome since the last call."""
        heard, self._heard = self._heard, False
        return heard

    def try_again(self) -> tuple[int, str]:
        """
        Let the files that wait for another try be the next.

        @return: the number of failed tries of the file that failed most often, 0 if none waits; and
            a text with their number and the last failure.
        """
        count = len(self._again)
        failed = max((taken.failed for taken in self._again), default=0)
        self._left.extend(self._again)
        self._again.clear()
        return failed, f"{count} file{'s' * (count > 1)}: {self._last}"
