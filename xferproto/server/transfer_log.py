"""Log the files that connections store and send, whatever protocol they came by."""

from __future__ import annotations

from twisted.logger import Logger

from xferproto.depot.small_upload import SmallUpload
from xferproto.depot.upload import Upload
from xferproto.model.entry import Entry
from xferproto.model.escape import quoted

log = Logger("xfer")


def log_transfer(number: int, what: str, entry: Entry, count: int, seconds: float) -> None:
    """
    Log one file that was stored or sent.

    @param number: of the connection; the log's lines begin with it.
    @param what: what was done with it.
    @param count: how many bytes of it went over the wire.
    @param seconds: how long that took.
    """
    log.info(
        "#{number} {what} {name} size={size} id={id} bytes={count} seconds={seconds:.3f} "
        "rate={rate:.1f}MiB/s",
        number=number,
        what=what,
        name=quoted(entry.name),
        size=entry.size,
        id=entry.id,
        count=count,
        seconds=seconds,
        rate=count / max(seconds, 1e-6) / 2**20,
    )


def cut_short(number: int, upload: Upload | SmallUpload) -> str:
    """Give up an upload that was coming: return how far it came and what is kept; log it, too."""
    upload.abort()
    kept = "what came is kept" if upload.resumable else "nothing was stored"
    came = f"{upload.size - upload.remaining} of {upload.size} declared bytes; {kept}"
    log.warn(
        "#{number} upload of {name} cut short after {came}",
        number=number,
        name=quoted(upload.name),
        came=came,
    )
    return came
