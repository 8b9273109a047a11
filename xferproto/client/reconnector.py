"""The connection of a client that connects again as often as it takes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import DeferredLock

from xferproto.client.callbacks import Trace
from xferproto.client.factory import Endpoint, connect
from xferproto.client.protocol import XferClientProtocol
from xferproto.model.errors import Busy, ConnectionCut


class Reconnector:
    """
    Connect to a depot, and log in, whenever there is no usable connection.

    @param reactor: the reactor.
    @param endpoint: the depot, as for L{connect<xferproto.client.factory.connect>}.
    @param prompted: as for L{connect<xferproto.client.factory.connect>}.
    @param trace: as for L{connect<xferproto.client.factory.connect>}.
    @param patience: seconds without progress after which a connection is taken for lost.
    @param credentials: the user and password to log in with on every connection, or None.

    @ivar endpoint: where the next connection goes.
    @ivar credentials: what the next connection logs in with.
    @ivar asks: whether a connection is used only after the server has answered on it; one that
        limits its connections refuses then, and not at the first request.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: Endpoint,
        prompted: bool,
        trace: Trace | None,
        patience: float,
        credentials: tuple[str, str] | None,
    ) -> None:
        self.endpoint = endpoint
        self.credentials = credentials
        self.asks = False
        self._reactor = reactor
        self._prompted = prompted
        self._trace = trace
        self._patience = patience
        self._client: XferClientProtocol | None = None
        self._connecting = DeferredLock()

    async def connection(self) -> XferClientProtocol:
        """
        Return the usable connection, after connecting and logging in if there is none.

        @raise Exception: what L{connect<xferproto.client.factory.connect>} or the login failed
            with.
        """
        await self._connecting.acquire()  # requests made at once share one connection
        try:
            if self._client is None or not self._client.usable:
                self._client = None
                client = await connect(
                    self._reactor, self.endpoint, self._prompted, self._trace, self._patience
                )
                await self._log_in(client)
                self._client = client
            return self._client
        finally:
            self._connecting.release()

    async def _log_in(self, client: XferClientProtocol) -> None:
        try:
            if self.credentials is not None:
                await client.login(*self.credentials)
            elif self.asks:
                await client.help()  # of its own accord, a server that lets us in says nothing
        except BaseException as error:
            client.disconnect()
            if self.asks and isinstance(error, Busy):
                raise ConnectionCut(f"The server closes: {error.text}") from None
            raise

    async def disconnect(self) -> None:
        """Close the connection, once one that is being made is there."""
        await self._connecting.acquire()
        client, self._client = self._client, None
        self._connecting.release()
        if client is not None:
            await client.disconnect()
