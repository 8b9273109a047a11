"""Goal 3: many small files, up and down over one connection."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from bench.contents import Batch, check_batch
from bench.depot import Depot
from bench.figures import Figures, Goal, Result, Sample, absolute, ratio
from bench.lab import Contender, Lab
from bench.peers.peer import Peer
from bench.peers.rsync import Rsync
from bench.processes import python, run

TITLE = "Many small files up and down"

UNIT = "files/s"

BARE = "down: the files alone, synced"


def writing(batch: Batch, target: Path) -> Contender:
    """The yardstick: what the file system alone takes to have the files for good."""

    def once() -> Iterable[Sample]:
        _, output = run(python("bench.bare_files", batch.directory, target))
        check_batch(target, batch)
        shutil.rmtree(target)
        yield Sample(BARE, UNIT, len(batch.ids) / json.loads(output)["seconds"])

    return Contender(BARE, once)


def moving(peer: Peer, batch: Batch, target: Path) -> Contender:
    """A peer's client sends all files to it, and fetches them again."""

    def once() -> Iterable[Sample]:
        count = len(batch.ids)
        seconds, inside = peer.timed(peer.upload_all(batch))
        peer.check_all(batch)
        yield Sample(f"up: {peer.name}", UNIT, count / seconds)
        if inside is not None:
            yield Sample(f"up: {peer.name}, connected to acknowledged", UNIT, count / inside)
        target.mkdir()
        seconds, inside = peer.timed(peer.download_all(batch, target))
        check_batch(target, batch)
        shutil.rmtree(target)
        peer.clear()
        yield Sample(f"down: {peer.name}", UNIT, count / seconds)
        if inside is not None:
            yield Sample(f"down: {peer.name}, connected to on the disk", UNIT, count / inside)

    return Contender(peer.name, once)


def run_case(lab: Lab) -> Result:
    """Measure all that can take part."""
    batch = lab.small
    with lab.place() as place, ExitStack() as running:
        peers: list[Peer] = [Depot(place / "xfer")]
        peers += [kind(place / kind.__name__) for kind in lab.peers if not kind.not_small]
        for peer in peers:
            running.callback(peer.stop)
            peer.start()
        movers = [moving(peer, batch, place / "received") for peer in peers]
        figures = lab.measure([*movers, writing(batch, place / "written")])
    ways = {way: [f for f in figures.all() if f.label.startswith(way)] for way in ("up", "down")}
    left_out = [f"{kind.name}: {kind.not_small}" for kind in lab.peers if kind.not_small]
    every = (*ways["up"], *ways["down"])
    return Result(every, tuple(goals(figures)), (*lab.left_out, *left_out))


def goals(figures: Figures) -> Iterable[Goal]:
    """What the issue asks, of what there is."""
    for way, text, rate in (("up", "up", 10_000), ("down", "down", 6_000)):
        xfer, rsync = f"{way}: {Depot.name}", f"{way}: {Rsync.name}"
        yield absolute(3, f"4 KiB files {text}, xfer", figures[xfer], "at least", rate)
        if rsync in figures:
            told = f"4 KiB files {text}: xfer's rate to the rsync daemon's"
            yield ratio(3, told, figures[xfer], figures[rsync], "at least", 2.0)
