"""Goal 4: a very long listing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from hashlib import md5
from pathlib import Path

from bench import wire
from bench.contents import WrongArrival
from bench.depot import Depot
from bench.figures import Figures, Goal, Result, Sample, absolute
from bench.lab import MIB, Contender, Lab
from bench.pace import percentile, read_slowly
from bench.processes import Process, python
from bench.stock import Stock

TITLE = "A long listing"

FIRST = "LIST_FILES: to the first line"
RATE = "LIST_FILES: entries a second"
CLIENT = "list_files of the Python API: entries a second"
MEMORY = "server memory, while a client reads slowly"
ALONE = "STAT and HELP, 99th percentile, server else idle"
BESIDE = "STAT and HELP, 99th percentile, beside a listing"

LISTINGS = 3
"""How often the listing is asked for while other commands are timed beside it."""


def depot_with(stock: Stock, place: Path) -> Depot:
    """A depot that holds the stock, to be started."""
    depot = Depot(place / "xfer")
    stock.copy_to(depot.root)
    return depot


def at_full_speed(depot: Depot, stock: Stock) -> Iterable[Sample]:
    """A plain reader, as fast as it comes."""
    with wire.connected(depot.port) as connection:
        first, seconds, answer = wire.ask(connection, "LIST_FILES")
    check(answer, stock)
    yield Sample(FIRST, "ms", first * 1000)
    yield Sample(RATE, "entries/s", stock.entries / seconds)


def check(answer: bytes | bytearray, stock: Stock) -> None:
    """Compare a whole listing with what is stored."""
    if md5(answer).hexdigest() != stock.listing:
        raise WrongArrival("The listing is not that of what is stored.")


def with_the_client(depot: Depot, stock: Stock) -> Iterable[Sample]:
    """xfer's own client, which makes objects of the lines."""
    _, inside = depot.timed(python("bench.client", "list", depot.port, stock.entries))
    assert inside is not None
    yield Sample(CLIENT, "entries/s", stock.entries / inside)


def slowly(depot: Depot, stock: Stock, seconds: float) -> Iterable[Sample]:
    """A reader who takes 64 KiB a second for a while, and then all."""
    before = depot.process.memory()
    with wire.connected(depot.port) as connection:
        connection.sendall(b"LIST_FILES\n")
        answer = read_slowly(connection, 64 * 1024, seconds)
        check(answer, stock)
    yield Sample(MEMORY, "MiB", (depot.process.peak_memory() - before) / MIB)


def latencies(depot: Depot, stock: Stock, until: Process | None, seconds: float) -> list[float]:
    """
    The seconds that small commands take, one every five milliseconds.

    @param until: goes on for as long as that runs, where it is given; else for C{seconds}.
    """
    taken: list[float] = []
    deadline = time.monotonic() + seconds
    with wire.connected(depot.port) as connection:
        while not taken or (until.running() if until else time.monotonic() < deadline):
            for command in (f"STAT {stock.id}", "HELP"):
                taken.append(wire.ask(connection, command)[1])
                time.sleep(0.005)
    return taken


def beside_a_listing(depot: Depot, stock: Stock, place: Path) -> Iterable[Sample]:
    """Small commands on another connection, before and while a process reads listings."""
    yield Sample(ALONE, "ms", percentile(latencies(depot, stock, None, 1.0), 99) * 1000)
    reader = Process(
        python("bench.pace", "list", depot.port, LISTINGS, stock.listing), place, place / "log"
    )
    try:
        taken = latencies(depot, stock, reader, 0)
        reader.wait()
    finally:
        reader.stop()
    yield Sample(BESIDE, "ms", percentile(taken, 99) * 1000)


def run_case(lab: Lab) -> Result:
    """Measure it; a fresh server each round, so that its memory is that of this round."""
    stock = lab.stock
    with lab.place() as place, ExitStack() as running:
        depot = depot_with(stock, place)
        running.callback(depot.stop)

        def once() -> Iterable[Sample]:
            depot.stop()
            depot.start()
            yield from slowly(depot, stock, lab.sizes.slow_seconds)
            yield from at_full_speed(depot, stock)
            yield from with_the_client(depot, stock)
            yield from beside_a_listing(depot, stock, place)

        figures = lab.measure([Contender(Depot.name, once)])
    return Result(tuple(figures.all((FIRST, RATE, CLIENT, MEMORY))), tuple(goals(figures)))


def goals(figures: Figures) -> Iterable[Goal]:
    """What the issue asks."""
    yield absolute(4, "1,000,000 entries: first line of the list", figures[FIRST], "at most", 50)
    yield absolute(4, "1,000,000 entries: whole list", figures[RATE], "at least", 1e6)
    text = "1,000,000 entries: server memory for a client that reads slowly"
    yield absolute(4, text, figures[MEMORY], "at most", 32)
    text = "1,000,000 entries: other small commands meanwhile, 99th percentile"
    yield absolute(4, text, figures[BESIDE], "at most", 100)
