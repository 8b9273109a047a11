"""Goal 7: what a transfer costs, in processor time and memory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from bench import wire
from bench.contents import Content, WrongArrival, check_file, make_content
from bench.depot import Depot
from bench.figures import Figures, Goal, Result, Sample, absolute, ratio
from bench.lab import MIB, Contender, Lab
from bench.processes import Process, free_port, python, run

TITLE = "The cost of an upload"

SERVER = "server"
FLOOR = "hashes and copy alone"
GROWTH = "memory: most growth from the small file to the large one"

GIB = 1 << 30


def serving(depot: Depot, content: Content) -> Contender:
    """A plain sender, and the server's processor time."""

    def once() -> Iterable[Sample]:
        depot.clear()
        before = depot.process.cpu_seconds()
        _, id = wire.upload(depot.port, content.path, "big")
        cpu = depot.process.cpu_seconds() - before
        if id != content.md5:
            raise WrongArrival(f"The id is {id}, sent was {content.md5}.")
        depot.stop()
        yield Sample(SERVER, "CPU s/GiB", cpu * GIB / content.size)

    return Contender(SERVER, once)


def floor(content: Content, place: Path) -> Contender:
    """The same sender, and a program that only hashes and copies."""

    def once() -> Iterable[Sample]:
        port, received = free_port(), place / "received"
        command = python("bench.floor", port, content.size, received)
        process = Process(command, place, place / "log")
        try:
            process.wait_for_port(port)
            _, id = wire.send_plain(port, content.path)
            told = json.loads(process.wait())
        finally:
            process.stop()
        if id != content.md5:
            raise WrongArrival(f"The MD5 is {id}, sent was {content.md5}.")
        check_file(received, content.md5)
        received.unlink()
        yield Sample(FLOOR, "CPU s/GiB", told["cpu"] * GIB / content.size)

    return Contender(FLOOR, once)


def memory(depot: Depot, contents: Iterable[Content], target: Path) -> Contender:
    """Server and client at their most, for files of two sizes, up and down."""
    pair = tuple(contents)

    def once() -> Iterable[Sample]:
        peaks: list[dict[str, int]] = []
        for content in pair:
            peak: dict[str, int] = {}
            depot.clear()
            peak["client, up"] = _peak(depot.upload(content.path, "file"))
            peak["server, up"] = depot.process.peak_memory()
            depot.clear()
            depot.offer(content.path, "file")
            depot.stop()
            depot.start()
            peak["client, down"] = _peak(depot.download("file", target))
            peak["server, down"] = depot.process.peak_memory()
            check_file(target, content.md5)
            target.unlink()
            depot.stop()
            peaks.append(peak)
            for who, most in peak.items():
                size = f"{content.size // MIB:,} MiB"
                yield Sample(f"memory: {who}, {size}", "MiB", most / MIB)
        small, large = peaks
        grown = max(large[who] - small[who] for who in small)
        yield Sample(GROWTH, "MiB", grown / MIB)

    return Contender("memory", once)


def _peak(command: list[str]) -> int:
    return int(json.loads(run(command)[1])["peak"])


def run_case(lab: Lab) -> Result:
    """Measure it."""
    content = lab.big
    with lab.place() as place, ExitStack() as running:
        pair = [
            make_content(place / f"{number}", size) for number, size in enumerate(lab.sizes.memory)
        ]
        depot = Depot(place / "xfer")
        running.callback(depot.stop)
        figures = lab.measure([serving(depot, content), floor(content, place)])
        figures.add(memory(depot, pair, place / "fetched").run())
    return Result(tuple(figures.all((SERVER, FLOOR))), tuple(goals(figures)))


def goals(figures: Figures) -> Iterable[Goal]:
    """What the issue asks."""
    text = "processor time of the server to that of hashes and copy alone"
    yield ratio(7, text, figures[SERVER], figures[FLOOR], "at most", 1.25)
    text = "memory of a transfer: growth from 64 MiB to 4 GiB"
    yield absolute(7, text, figures[GROWTH], "at most", 16)
