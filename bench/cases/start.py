"""Goal 6: how long it takes until something can be done."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack

from bench import wire
from bench.cases.listing import depot_with
from bench.contents import check_file, md5_of
from bench.depot import Depot, twistd
from bench.figures import Figures, Goal, Result, Sample, absolute
from bench.lab import Contender, Lab
from bench.processes import run

TITLE = "Starting"

SERVER = "twistd -n xfer, to the first connection"
CLIENT = "twistd -n xfer-client, from start to end"


def run_case(lab: Lab) -> Result:
    """Measure it, with a stock of files."""
    stock = lab.stock
    with lab.place() as place, ExitStack() as running:
        depot = depot_with(stock, place)
        running.callback(depot.stop)
        small = place / "small"
        small.write_bytes(b"a small file\n" * 64)
        empty = Depot(place / "empty")
        running.callback(empty.stop)

        def server() -> Iterable[Sample]:
            depot.stop()
            started = time.perf_counter()
            depot.start()
            seconds = time.perf_counter() - started
            wire.check_stored(depot.port, [stock.id])
            depot.stop()
            yield Sample(SERVER, "s", seconds)

        def client() -> Iterable[Sample]:
            empty.clear()
            options = ("--port", empty.port, "--file", small, "--output", empty.directory)
            seconds, _ = run(twistd("xfer-client", *options), place)
            check_file(empty.directory / "small", md5_of(small))
            (empty.directory / "small").unlink()
            empty.stop()
            yield Sample(CLIENT, "s", seconds)

        figures = lab.measure([Contender(SERVER, server), Contender(CLIENT, client)])
    return Result(tuple(figures.all((SERVER, CLIENT))), tuple(goals(figures)))


def goals(figures: Figures) -> Iterable[Goal]:
    """What the issue asks."""
    text = "start to listening with 1,000,000 files stored"
    yield absolute(6, text, figures[SERVER], "at most", 1.0)
    yield absolute(6, "xfer-client with a small file, in all", figures[CLIENT], "at most", 0.6)
