"""Take payloads, and the end of the input, for a session."""

from __future__ import annotations

from xferproto.model.errors import BadDetails
from xferproto.server.line.session import LineSession
from xferproto.wire.states import State


def take_bytes(session: LineSession, data: bytes) -> bytes:
    """Take bytes in raw mode: return those behind the payload, which are lines again."""
    if session.state is State.RECEIVING:
        payload = session.payload
        assert payload is not None
        count = payload.upload.remaining
        rest = data[count:]
        payload.upload.write(data[:count] if rest else data)
        if len(data) < count:
            session.regulate_upload()
        elif session.state is State.RECEIVING:  # it is not when writing failed there and then
            payload.complete(payload)
        return rest
    if session.state is State.DISCARDING:
        rest = data[session.discarding :]
        session.discarding -= len(data) - len(rest)
        if session.discarding == 0:
            session.enter(State.COMMAND)
        return rest
    return b""  # the connection is being closed


def end_input(session: LineSession) -> None:
    """Close, when all requests are answered: the peer sends no more, and no line is left."""
    if session.state is State.RECEIVING:
        error = BadDetails(f"The input ended after {session.cut_short()}.")
        session.in_turn(lambda: session.refuse(error))
    session.in_turn(session.closing.disconnect)
