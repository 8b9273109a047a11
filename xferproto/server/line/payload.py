"""The payload of an upload, on its way over a connection."""

from __future__ import annotations

from collections.abc import Callable

from xferproto.depot.small_upload import SmallUpload
from xferproto.depot.upload import Upload


class Payload:
    """
    What is received for one upload.

    @param complete: called when all of it has come.
    @ivar upload: takes it.
    @ivar expected: bytes that come over the wire.
    @ivar started: when the upload was begun, in seconds of the reactor's clock.
    """

    __slots__ = ("complete", "expected", "started", "upload")

    def __init__(
        self,
        upload: Upload | SmallUpload,
        started: float,
        complete: Callable[[Payload], None],
    ) -> None:
        self.upload = upload
        self.started = started
        self.expected = upload.remaining
        self.complete = complete
