"""Goal 2: a big file down."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from bench.cases.upload import DISK, DISK_ALONE, MD5SUM, md5sum, writing
from bench.contents import Content, check_file
from bench.depot import Depot
from bench.figures import Figures, Goal, Result, Sample, ratio
from bench.lab import Contender, Lab
from bench.peers.nginx import Nginx
from bench.peers.peer import Peer

TITLE = "A big file down"

INSIDE = "xfer, connected to on the disk"


def fetching(peer: Peer, content: Content, target: Path) -> Contender:
    """A peer's client fetches the file from it."""

    def once() -> Iterable[Sample]:
        seconds, inside = peer.timed(peer.download("big", target))
        check_file(target, content.md5)
        target.unlink()
        yield Sample(peer.name, "s", seconds)
        if inside is not None:
            yield Sample(INSIDE, "s", inside)

    return Contender(peer.name, once)


def run_case(lab: Lab) -> Result:
    """Measure all that can take part."""
    content = lab.big
    with lab.place() as place, ExitStack() as running:
        peers: list[Peer] = [Depot(place / "xfer")]
        peers += [kind(place / kind.__name__) for kind in lab.peers]
        for peer in peers:
            running.callback(peer.stop)
            peer.start()
            peer.offer(content.path, "big")
        fetched = (fetching(peer, content, place / "received") for peer in peers)
        yardsticks = (md5sum(content), writing(content, place / "written"))
        figures = lab.measure([*yardsticks, *fetched])
    order = (MD5SUM, DISK, DISK_ALONE, Depot.name, INSIDE)
    return Result(tuple(figures.all(order)), tuple(goals(figures)), tuple(lab.left_out))


def goals(figures: Figures) -> Iterable[Goal]:
    """What the issue asks, of what there is."""
    xfer = figures[Depot.name]
    text = "1 GiB down: xfer's time to md5sum's"
    yield ratio(2, text, xfer, figures[MD5SUM], "at most", 1.4)
    if Nginx.name in figures:
        text = "1 GiB down: xfer's time to that of nginx with curl"
        yield ratio(2, text, xfer, figures[Nginx.name], "at most", 1.1)
