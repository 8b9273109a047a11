"""Send contents to the peer of a connection."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import tcp
from twisted.internet.defer import Deferred

from xferproto.server.traffic.bandwidth import RateLimit, rate_limited
from xferproto.server.traffic.flow import Flow, Hold
from xferproto.transfer.sender import Sender


def make_sender(
    transport: tcp.Connection,
    read: Callable[[], Deferred[bytes]],
    limit: RateLimit | None,
    flow: Flow,
    lost: bool,
) -> Sender:
    """
    Make what sends all that C{read} gives, as fast as the peer takes it and the limit allows.

    @param limit: the bandwidth towards the peer; None for no limit.
    @param flow: knows whether the peer reads.
    @param lost: whether the connection is lost: then nothing is sent.
    """
    sender = Sender(transport, read if limit is None else rate_limited(read, limit))
    if flow.holds(Hold.OUTPUT):
        sender.pauseProducing()
    if lost:
        sender.stopProducing()
    return sender
