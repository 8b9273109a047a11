"""Goal 5: many clients at once, and many that say nothing."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from bench import wire
from bench.contents import Content, WrongArrival, make_content
from bench.depot import Depot
from bench.figures import Figures, Goal, Result, Sample, absolute, ratio
from bench.lab import MIB, Contender, Lab
from bench.pace import percentile
from bench.processes import Process, python, run

TITLE = "Many clients"

ONE = "one stream of the same bytes"
CROWD = "all clients together"
PEAK = "server memory at its most"
LATENCY = "LIST_FILES meanwhile, 99th percentile"
IDLE = "server memory for an idle connection"

INTERVAL = 0.05
"""Seconds between two listings that are timed."""


def one_stream(depot: Depot, content: Content) -> Contender:
    """A plain sender sends as many bytes as all clients together."""

    def once() -> Iterable[Sample]:
        depot.clear()
        seconds, id = wire.upload(depot.port, content.path, "big")
        if id != content.md5:
            raise WrongArrival(f"The id is {id}, sent was {content.md5}.")
        depot.stop()
        yield Sample(ONE, "MiB/s", content.size / MIB / seconds)

    return Contender(ONE, once)


def crowd(depot: Depot, lab: Lab, place: Path) -> Contender:
    """All clients upload, and somebody else asks for the list."""
    count, size = lab.sizes.clients, lab.sizes.client_size

    def once() -> Iterable[Sample]:
        depot.clear()
        poll = Process(python("bench.pace", "poll", depot.port, INTERVAL), place, place / "poll")
        try:
            poll.wait_for_output()
            _, output = run(python("bench.crowd", depot.port, count, size), place)
        finally:
            poll.terminate()
        told = json.loads(output)
        taken = json.loads(poll.wait().splitlines()[-1])
        if told["wrong"]:
            raise WrongArrival(f"{told['wrong']} of {count} clients got a wrong id.")
        yield Sample(CROWD, "MiB/s", count * size / MIB / told["seconds"])
        yield Sample(PEAK, "MiB", depot.process.peak_memory() / MIB)
        yield Sample(LATENCY, "ms", percentile(taken, 99) * 1000)
        check(depot, count)
        depot.stop()

    return Contender(CROWD, once)


def check(depot: Depot, count: int) -> None:
    """All contents are there, each as its id says."""
    with wire.connected(depot.port) as connection:
        lines = wire.ask(connection, "LIST_FILES")[2].decode().splitlines()[:-1]
    if len(lines) != count:
        raise WrongArrival(f"{len(lines)} of {count} files are listed.")
    wire.check_stored(depot.port, [line.partition(";")[0] for line in lines])


def idle(depot: Depot, count: int) -> Contender:
    """Connections that say nothing."""

    def once() -> Iterable[Sample]:
        depot.clear()
        with ExitStack() as open_connections:
            first = open_connections.enter_context(wire.connected(depot.port))
            wire.ask(first, "HELP")
            before = depot.process.memory()
            for _ in range(count):
                last = open_connections.enter_context(wire.connected(depot.port))
            wire.ask(last, "HELP")  # connections are taken in turn: with this one it has them all
            grown = depot.process.memory() - before
        depot.stop()
        yield Sample(IDLE, "KiB", grown / 1024 / count)

    return Contender(IDLE, once)


def allow_files(count: int) -> int:
    """Let this process and its children have so many files open: how many they may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
            return count
        except (ValueError, PermissionError):
            count = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    return count


def run_case(lab: Lab) -> Result:
    """Measure it; a fresh server each time, so that its memory is that of this time."""
    left_out = []
    connections = lab.sizes.idle
    allowed = allow_files(connections + 500) - 500
    if allowed < connections:
        left_out.append(f"{connections} idle connections: {allowed} it were, by the system's limit")
        connections = allowed
    with lab.place() as place, ExitStack() as running:
        content = make_content(place / "one", lab.sizes.clients * lab.sizes.client_size)
        depot = Depot(place / "xfer")
        running.callback(depot.stop)
        contenders = [
            one_stream(depot, content),
            crowd(depot, lab, place),
            idle(depot, connections),
        ]
        figures = lab.measure(contenders)
    return Result(tuple(figures.all((ONE, CROWD))), tuple(goals(figures)), tuple(left_out))


def goals(figures: Figures) -> Iterable[Goal]:
    """What the issue asks."""
    text = "1,000 clients: their rate to that of one stream"
    yield ratio(5, text, figures[CROWD], figures[ONE], "at least", 0.7)
    yield absolute(5, "1,000 clients: server memory", figures[PEAK], "at most", 250)
    text = "1,000 clients: LIST_FILES meanwhile, 99th percentile"
    yield absolute(5, text, figures[LATENCY], "at most", 100)
    yield absolute(5, "10,000 idle connections: memory of each", figures[IDLE], "at most", 20)
