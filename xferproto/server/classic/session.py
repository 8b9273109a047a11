"""The commands of the classic protocol, over the use cases of a depot (docs/protocol.md)."""

from __future__ import annotations

from xferproto.depot.account import Account
from xferproto.model.errors import LoginRequired, RequestError
from xferproto.server.classic.messages import (
    MARKER,
    take_command,
    take_details,
    take_id,
    take_next,
)
from xferproto.server.traffic.channel import Channel
from xferproto.server.traffic.inbox import M, Take
from xferproto.server.transfer_log import cut_short, log_transfer

PAUSE = 0.05
"""Seconds between two messages, so that the client gets each in a C{recv} of its own."""

SILENCE = 0.2
"""Seconds after which C{name;size} is whole, where no line end says so."""

LONG_SILENCE = 2.0
"""Seconds after which a command or an id is not waited for that lacks a part."""

MOST_LISTED = 1000
"""The most files that are listed."""

PAGE = 100
"""How many of them are in memory at once."""


class ClassicSession:
    """
    Serve one client.

    @ivar account: what it may do.
    """

    def __init__(self, account: Account, channel: Channel) -> None:
        self.account = account
        self._channel = channel
        self._said = False

    async def serve(self) -> None:
        """Answer commands, one after the other, until the server stops."""
        commands = {b"LIST_FILES": self._list, b"UPLOAD": self._store, b"DOWNLOAD": self._send}
        take = take_command
        while not self._channel.stopping:
            command = await self._read(take, LONG_SILENCE)
            await commands[command]()
            take = take_next

    def refuse(self, error: RequestError) -> None:
        """Send an error, after which the connection is closed."""
        text = "Strangers may not do this here."  # there is no way to log in
        text = text if isinstance(error, LoginRequired) else error.text
        self._channel.write(f"ERROR {error.symbol} {text}".encode())

    async def _read(self, take: Take[M], silence: float) -> M:
        message = await self._channel.inbox.read(take, silence)
        self._said = False
        return message

    async def _say(self, message: bytes) -> None:
        """Send a message, after a pause where the client has not answered the one before."""
        if self._said:
            await self._channel.pause(PAUSE)
        self._said = True
        self._channel.write(message)

    async def _list(self) -> None:
        after, left = None, MOST_LISTED
        while page := await self.account.list("", after, PAGE):
            for found in page:
                entry = found.entry
                if left and not found.damaged:
                    await self._say(f"{entry.id};{entry.name};{entry.size}".encode())
                    left -= 1
            if not left or len(page) < PAGE:
                break
            after = page[-1].entry.name, page[-1].entry.id
        if left == MOST_LISTED:
            await self._say(b"No files available at the moment")
        await self._say(b"DONE")

    async def _send(self) -> None:
        channel = self._channel
        await self._say(b"Please send a file ID")
        id = await self._read(take_id, LONG_SILENCE)
        download = await channel.wait(self.account.open(id))
        entry, started = download.entry, channel.clock.seconds()
        try:
            await channel.send(download.blocks(0, entry.size, channel.largest))
        finally:
            download.close()
        log_transfer(channel.number, "sent", entry, entry.size, channel.clock.seconds() - started)
        self._said = entry.size > 0
        await self._say(MARKER)
        await self._say(id.encode())

    async def _store(self) -> None:
        channel = self._channel
        await self._say(b"Please send the file name and file size")
        name, size = await self._read(take_details, SILENCE)
        upload = await channel.wait(self.account.begin(name, size, channel.inbox))
        started = channel.clock.seconds()
        await self._say(b"Ready to receive the file")
        try:
            await channel.inbox.receive(upload)
        except BaseException:
            cut_short(channel.number, upload)
            raise
        entry = await upload.finish()
        log_transfer(channel.number, "stored", entry, size, channel.clock.seconds() - started)
        self._said = size == 0  # else the client has sent something since
        await self._say(entry.id.encode())
