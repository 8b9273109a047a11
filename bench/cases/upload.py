"""Goal 1: a big file up."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from bench import wire
from bench.contents import Content, WrongArrival, check_file
from bench.depot import Depot
from bench.figures import Figures, Goal, Result, Sample, ratio
from bench.lab import MIB, Contender, Lab
from bench.peers.peer import Peer
from bench.peers.rsync import Rsync, RsyncMd5
from bench.processes import Process, free_port, python, run

TITLE = "A big file up"

MD5SUM = "md5sum"
DISK = "dd with fsync"
DISK_ALONE = "dd past the page cache"
INSIDE = "xfer, connected to acknowledged"
TO_XFER = "plain sender to xfer"
TO_PLAIN = "plain sender to the plain program"


def md5sum(content: Content) -> Contender:
    """The yardstick: the hash alone."""

    def once() -> Iterable[Sample]:
        seconds, output = run(["md5sum", str(content.path)])
        if content.md5.encode() not in output:
            raise WrongArrival("md5sum does not agree.")
        yield Sample(MD5SUM, "s", seconds)

    return Contender(MD5SUM, once)


def writing(content: Content, target: Path) -> Contender:
    """The other yardstick: the disk alone, as all that is durable has to wait for it."""

    def once() -> Iterable[Sample]:
        for label, options in ((DISK, ()), (DISK_ALONE, ("oflag=direct", "iflag=fullblock"))):
            command = ["dd", f"if={content.path}", f"of={target}", "bs=1M", "conv=fsync", *options]
            seconds, _ = run(command)
            check_file(target, content.md5)
            target.unlink()
            yield Sample(label, "s", seconds)

    return Contender(DISK, once)


def sending(peer: Peer, content: Content) -> Contender:
    """A peer's client sends the file to it."""

    def once() -> Iterable[Sample]:
        seconds, inside = peer.timed(peer.upload(content.path, "big"))
        peer.check("big", content.md5)
        peer.clear()
        yield Sample(peer.name, "s", seconds)
        if inside is not None:
            yield Sample(INSIDE, "s", inside)

    return Contender(peer.name, once)


def sending_plainly(depot: Depot, content: Content) -> Contender:
    """A client that does not hash sends the file to xfer."""

    def once() -> Iterable[Sample]:
        seconds, id = wire.upload(depot.port, content.path, "big")
        if id != content.md5:
            raise WrongArrival(f"The id is {id}, sent was {content.md5}.")
        depot.check("big", content.md5)
        depot.clear()
        yield Sample(TO_XFER, "MiB/s", content.size / MIB / seconds)

    return Contender(TO_XFER, once)


def yardstick(port: int, content: Content, received: Path) -> Contender:
    """
    The same client sends the file to the plain program.

    @param port: where that listens.
    @param received: where it writes.
    """

    def once() -> Iterable[Sample]:
        seconds, id = wire.send_plain(port, content.path)
        if id != content.md5:
            raise WrongArrival(f"The MD5 is {id}, sent was {content.md5}.")
        check_file(received, content.md5)
        received.unlink()
        yield Sample(TO_PLAIN, "MiB/s", content.size / MIB / seconds)

    return Contender(TO_PLAIN, once)


def run_case(lab: Lab) -> Result:
    """Measure all that can take part."""
    content = lab.big
    with lab.place() as place, ExitStack() as running:
        peers: list[Peer] = [Depot(place / "xfer")]
        peers += [kind(place / kind.__name__) for kind in lab.peers]
        depot = Depot(place / "plain")
        for peer in (*peers, depot):
            running.callback(peer.stop)
            peer.start()
        port, received = free_port(), place / "received"
        command = python("bench.plain_server", port, content.size, received)
        server = Process(command, place, place / "log")
        running.callback(server.stop)
        server.wait_for_port(port)
        figures = lab.measure(
            [
                md5sum(content),
                writing(content, place / "written"),
                *(sending(peer, content) for peer in peers),
                sending_plainly(depot, content),
                yardstick(port, content, received),
            ]
        )
    order = (MD5SUM, DISK, DISK_ALONE, Depot.name, INSIDE)
    return Result(tuple(figures.all(order)), tuple(goals(figures)), tuple(lab.left_out))


def goals(figures: Figures) -> Iterable[Goal]:
    """What the issue asks, of what there is."""
    xfer, hash = figures[Depot.name], figures[MD5SUM]
    yield ratio(1, "1 GiB up: xfer's time to md5sum's", xfer, hash, "at most", 1.75)
    if Rsync.name in figures:
        text = "1 GiB up: xfer's time to the rsync daemon's"
        yield ratio(1, text, xfer, figures[Rsync.name], "at most", 0.6)
    if RsyncMd5.name in figures:
        text = "the same, where rsync uses MD5 too"
        yield ratio(0, text, xfer, figures[RsyncMd5.name], "at most", 0.6)
    text = "1 GiB up from a plain sender: xfer's rate to the plain program's"
    yield ratio(1, text, figures[TO_XFER], figures[TO_PLAIN], "at least", 0.9)
