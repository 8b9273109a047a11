"""The files of a request for many that are not told of yet: no end of a connection loses them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from xferproto.client.callbacks import Told
from xferproto.model.entry import Entry

MOST_AGAIN = 1024
"""So many files wait for another try; then they get it before others are taken."""

F = TypeVar("F", bound=tuple[Any, Any])


@dataclass(slots=True)
class _Taken(Generic[F]):
    """
    A file that was taken from the caller.

    @ivar failed: how many tries have.
    """

    file: F
    failed: int = 0


class Outstanding(Generic[F]):
    """
    Takes files from the caller, and gives each to connections until its outcome is told.

    @param files: the caller's; taken as they are needed.
    @param told: told of each file once.
    @param tries: how often a file is tried before its last failure is told.
    @param worth: whether a failure may go well the next time.
    @ivar raised: what C{files} or C{told} did; nothing is tried any more then.
    """

    def __init__(
        self, files: Iterable[F], told: Told, tries: int, worth: Callable[[Exception], bool]
    ) -> None:
        self._files = iter(files)
        self._told = told
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
        What to ask a connection for: first what was under way on one before, then what is new.

        It ends when all is taken, or too much of it waits for another try.
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
        """What came of the file that is longest under way: it is told, or tried again later."""
        taken = self._under_way.popleft()
        self._heard = True
        if isinstance(outcome, Exception) and self._worth(outcome):
            taken.failed += 1
            if taken.failed < self._tries:
                self._again.append(taken)
                self._last = outcome
                return
        try:
            self._told(name, outcome)
        except Exception as error:
            self.raised = error
            raise

    def came_along(self) -> bool:
        """Whether anything was heard since this was asked before."""
        heard, self._heard = self._heard, False
        return heard

    def try_again(self) -> tuple[int, str]:
        """
        Let those that wait for another try be the next.

        @return: how many tries have failed, of the one that failed most often, 0 where none waits;
            and in words how many they are, and why the last of them failed.
        """
        count = len(self._again)
        failed = max((taken.failed for taken in self._again), default=0)
        self._left.extend(self._again)
        self._again.clear()
        return failed, f"{count} file{'s' * (count > 1)}: {self._last}"
