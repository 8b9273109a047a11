"""What all cases share: sizes, peers, contents, and rounds that take turns."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from bench.contents import Batch, Content, make_batch, make_content
from bench.figures import Figures, Sample
from bench.peers.peer import Peer
from bench.stock import Stock, make_stock

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """
    How much is measured.

    @ivar big: bytes of the big file.
    @ivar small_size: bytes of each of the C{small_count} small files.
    @ivar entries: what the long listing has.
    @ivar clients: those that upload C{client_size} bytes each, all at once.
    @ivar idle: connections that say nothing.
    @ivar slow_seconds: for how long a listing is read slowly.
    @ivar memory: bytes of the two uploads that should take the same memory.
    """

    big: int = 1024 * MIB
    small_count: int = 20_000
    small_size: int = 4096
    entries: int = 1_000_000
    clients: int = 1000
    client_size: int = MIB
    idle: int = 10_000
    slow_seconds: float = 5.0
    memory: tuple[int, int] = (64 * MIB, 4096 * MIB)


QUICK = Sizes(8 * MIB, 300, 4096, 20_000, 40, 64 * 1024, 200, 0.3, (MIB, 16 * MIB))
"""Enough to see that all works."""


class Contender(NamedTuple):
    """
    Something that is measured.

    @ivar run: measures once, and checks what arrived.
    """

    name: str
    run: Callable[[], Iterable[Sample]]


@dataclass
class Lab:
    """
    Where and how it is measured.

    @ivar directory: for all that is written; its owner takes it away.
    @ivar rounds: how often each contender is measured.
    @ivar peers: those that can take part.
    @ivar left_out: a sentence for each that can't.
    @ivar say: told what happens.
    """

    directory: Path
    rounds: int
    sizes: Sizes
    say: Callable[[str], None]
    peers: Sequence[type[Peer]] = ()
    left_out: Sequence[str] = ()
    _made: int = field(default=0, init=False)

    @cached_property
    def big(self) -> Content:
        """The big file, made once."""
        self.say(f"writing {self.sizes.big // MIB} MiB of random bytes")
        return make_content(self.directory / "big", self.sizes.big)

    @cached_property
    def small(self) -> Batch:
        """The small files, made once."""
        self.say(f"writing {self.sizes.small_count} small files")
        return make_batch(self.directory / "small", self.sizes.small_count, self.sizes.small_size)

    @cached_property
    def stock(self) -> Stock:
        """A storage directory with many files, made once; to be read only."""
        self.say(f"stocking a depot with {self.sizes.entries} files")
        return make_stock(self.directory / "stock", self.sizes.entries)

    @contextmanager
    def place(self) -> Iterator[Path]:
        """A new directory, which is gone afterwards."""
        self._made += 1
        directory = self.directory / f"place-{self._made}"
        directory.mkdir()
        try:
            yield directory
        finally:
            shutil.rmtree(directory)

    def measure(self, contenders: Sequence[Contender]) -> Figures:
        """
        All rounds: the first of every contender, then the second of every one, and so on.

        Each round begins with another contender, and each contender with a disk that is idle.
        """
        figures = Figures()
        for number in range(self.rounds):
            turn = number % len(contenders)
            for contender in (*contenders[turn:], *contenders[:turn]):
                os.sync()
                samples = list(contender.run())
                figures.add(samples)
                told = ", ".join(f"{label} {value:.4g} {unit}" for label, unit, value in samples)
                self.say(f"  round {number + 1}: {told}")
        return figures
