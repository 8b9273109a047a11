"""The blocking client, for scripts, notebooks, and threads of any program."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from twisted.internet.defer import Deferred

from xferproto.client.blocking.call import CALL, Call
from xferproto.client.blocking.feed import feeding
from xferproto.client.blocking.host import HostEndpoint
from xferproto.client.blocking.reactor_thread import CLOSED, Lease, lease, locked
from xferproto.client.callbacks import OnResult, OnWait, Progress
from xferproto.client.deprecation import renamed_parameters
from xferproto.client.factory import DEFAULT_PORT, Endpoint
from xferproto.client.retry import RetryingClient
from xferproto.client.tls import ClientTerms, TLSEndpoint, client_terms
from xferproto.model.entry import Entry, Status
from xferproto.model.errors import BadName

R = TypeVar("R")

Outcomes = list[tuple[str, Entry | Exception]]
"""The name (or id) of each file, and its entry or exception, in the order of the outcomes."""

LARGEST = 64 * 1024 * 1024
"""The most bytes that L{BlockingClient.read} takes into memory by default."""


class Attached(NamedTuple):
    """
    The lease and the client of a L{BlockingClient} in one process.

    @ivar finalizer: ends the lease when the client is collected.
    """

    lease: Lease
    client: RetryingClient
    finalizer: weakref.finalize[..., Any]


class BlockingClient:
    """
    Make requests to a depot from scripts, notebooks and threads: each is a call that returns its
    answer.

    The client connects at the first request, and again when needed. It tries requests again, and
    resumes uploads and downloads. As a context manager it closes itself.

    Any number of threads may use one client; their requests take turns on its one connection. The
    work is done by a reactor of xfer's own on a thread of its own, which the clients of a process
    share, and which ends with the last of them: C{twisted.internet.reactor} and C{asyncio} are not
    touched, and may be used beside it. After a fork, the child connects anew.

    A request is cancelled by Ctrl-C, by an exception of a callback, and after C{timeout}. The next
    try resumes what was transferred. All callbacks are called on the thread that waits.

    Requests raise what those of an L{XferClientProtocol} fail with; and C{RuntimeError} when the
    client is closed.

    @param endpoint: the description of a Twisted client endpoint, as in C{tcp:depot.example:9000};
        for TLS give C{host} instead.
    @param host: a name or an address of the depot.
    @param port: its port there.
    @param tls: whether to connect to C{host} with TLS, and to check who is there.
    @param ca: as for L{tls_endpoint<xferproto.client.tls.tls_endpoint>}, like C{fingerprint},
        C{cert} and C{key}.
    @param credentials: the user and the password to log in with.
    @param tries: how often each request is tried before its last failure is raised.
    @param timeout: seconds that a request may take, with all its tries; None for no limit.
    @param patience: seconds without progress after which a connection counts as lost.
    @param notify: called with a line that says why something is tried again, and when.
    @raise ValueError: neither or both of endpoint and host are given, or C{fingerprint} is
        malformed.
    @raise CertificateError: a file can't be used.
    """

    @renamed_parameters(say="notify")
    def __init__(
        self,
        endpoint: str | None = None,
        *,
        host: str | None = None,
        port: int = DEFAULT_PORT,
        tls: bool = False,
        ca: Path | str | None = None,
        fingerprint: str | None = None,
        cert: Path | str | None = None,
        key: Path | str | None = None,
        credentials: tuple[str, str] | None = None,
        tries: int = 5,
        timeout: float | None = None,
        patience: float = 60.0,
        notify: Callable[[str], object] | None = None,
    ) -> None:
        if bool(endpoint) == bool(host):
            raise ValueError("Give either an endpoint or a host.")
        if endpoint and (
            tls or endpoint.partition(":")[0].lower() in ("tls", "ssl")
        ):  # Twisted's own endpoint for TLS works for the program's own reactor alone
            raise ValueError("For TLS give host, port, and tls=True, not an endpoint.")
        if not tls and any(term is not None for term in (ca, fingerprint, cert, key)):
            raise ValueError("ca, fingerprint, cert and key go with tls=True.")
        self._endpoint = endpoint
        self._host = host
        self._port = port
        self._terms: ClientTerms | None = None
        if host and tls:
            self._terms = client_terms(host, ca, fingerprint, cert, key)
        self._credentials = credentials
        self._tries = tries
        self._timeout = timeout
        self._patience = patience
        self._notify = notify
        self._attached: Attached | None = None
        self._closed = False

    def __repr__(self) -> str:
        with_tls = " with TLS" if self._terms else ""
        where = self._endpoint or f"{self._host} port {self._port}{with_tls}"
        return f"<BlockingClient of {where}{', closed' if self._closed else ''}>"

    def __enter__(self) -> Self:
        if self._closed:
            raise RuntimeError(CLOSED)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        Close the connection. Requests that are under way on other threads fail.

        A closed client may be closed again, and do nothing else.
        """
        with locked():
            if self._attached is not None:
                self._attached.lease.check_thread()
            self._closed = True
            attached, self._attached = self._attached, None
        if attached is not None:
            attached.lease.end(attached.client.disconnect)
            attached.finalizer.detach()

    # Requests

    def list_files(self, prefix: str = "") -> list[Entry]:
        """Return the entries whose names begin with C{prefix}, in name order."""
        return self._call(lambda client, call: client.list_files(prefix))

    def list_damaged(self, prefix: str = "") -> list[Entry]:
        """
        As L{list_files}, the entries whose stored bytes are known to be damaged; they are in no
        other listing.

        @raise BadCommand: the server is older than this request.
        """
        return self._call(lambda client, call: client.list_damaged(prefix))

    def stat(self, id: str) -> Status:
        """Return all that the depot knows of a content."""
        return self._call(lambda client, call: client.stat(id))

    @renamed_parameters(waited="on_wait")
    def upload(
        self,
        source: Path | str | bytes | bytearray | memoryview,
        name: str | None = None,
        progress: Progress | None = None,
        on_wait: OnWait | None = None,
    ) -> Entry:
        """
        Store a file, and compare the MD5 of server and client.

        @param source: a path, or the content itself as bytes.
        @param name: the name to store it under; None for the file's own.
        @param progress: called with how many bytes are sent, and how many there are.
        @param on_wait: called with how far the server's own work is, when that takes long.
        @return: the entry, when the file is safe on the server's disk.
        @raise OSError: the file can't be read.
        """
        if isinstance(source, bytearray | memoryview):
            source = bytes(source)
        if isinstance(source, bytes) and name is None:
            raise BadName("Bytes have no name of their own; give one, as in name='report.csv'.")
        return self._call(
            lambda client, call: client.upload(
                source, name, call.latest(progress), on_wait=call.latest(on_wait)
            )
        )

    @renamed_parameters(told="on_result")
    def upload_many(
        self, files: Iterable[tuple[Path | str | bytes, str]], on_result: OnResult | None = None
    ) -> Outcomes:
        """
        Store files, each hashed and compared as with L{upload}; fast if they are small.

        @param files: a source and a name each; taken as they are sent, some thousands ahead.
        @param on_result: called with each file's name and outcome when that is known.
        @return: the name and the outcome of each file, in their order, unless some had to be tried
            again. An outcome is the entry, or an exception, which is not raised. The other files go
            on.
        @raise Exception: what C{files} or C{on_result} raised; or the connection can't go on.
        """
        return self._many(files, on_result, lambda client: client.upload_many)

    def download(
        self,
        id: str,
        target: Path | str,
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Entry:
        """
        Fetch a file: write it aside, and rename it to C{target} when its size and MD5 are right.

        @param target: a path of the caller's choice; names from the server decide nothing.
        @param replace: whether a file that is there may be replaced.
        @param progress: called with how many bytes have come, and how many there are.
        @return: the entry; C{target} is on the disk.
        @raise TargetExists: C{target} is there and may not be replaced.
        @raise OSError: it can't be written.
        """
        return self._call(
            lambda client, call: client.download(id, target, replace, call.latest(progress))
        )

    @renamed_parameters(told="on_result")
    def download_many(
        self,
        files: Iterable[tuple[str, Path | str]],
        on_result: OnResult | None = None,
        replace: bool = False,
    ) -> Outcomes:
        """
        Fetch files, each checked and made durable as with L{download}; fast if they are small.

        @param files: an id and a target each, taken as for L{upload_many}.
        @param on_result: called with each file's id and outcome when that is known.
        @param replace: whether files that are there may be replaced.
        @return: the id and the outcome of each file, as for L{upload_many}.
        """

        def request(client: RetryingClient) -> Callable[..., Deferred[None]]:
            return lambda feed, outcome: client.download_many(feed, outcome, replace)

        return self._many(files, on_result, request)

    def read(self, id: str, largest: int = LARGEST, progress: Progress | None = None) -> bytes:
        """
        Fetch a content into memory, and return it when its size and MD5 are right.

        @param largest: the most bytes that the content may have.
        @param progress: called with how many bytes have come, and how many there are.
        @raise TooLarge: it has more.
        """
        return self._call(lambda client, call: client.read(id, largest, call.latest(progress)))

    @renamed_parameters(waited="on_wait")
    def verify(self, id: str, on_wait: OnWait | None = None) -> None:
        """
        Let the server hash the stored bytes again.

        @param on_wait: called with how far it is, when that takes long.
        @raise Corrupt: they are damaged.
        """
        self._call(lambda client, call: client.verify(id, call.latest(on_wait)))

    def delete(self, id: str, name: str | None = None) -> None:
        """Remove one name of a content, or all of them if C{name} is None."""
        self._call(lambda client, call: client.delete(id, name))

    # How they are made

    def _call(self, request: Callable[[RetryingClient, Call[R]], Deferred[R]]) -> R:
        share, client, _ = self._attach()
        return share.call(lambda call: request(client, call), self._timeout)

    def _many(
        self,
        files: Iterable[Any],
        on_result: OnResult | None,
        request: Callable[[RetryingClient], Callable[..., Deferred[None]]],
    ) -> Outcomes:
        outcomes: Outcomes = []

        def take(name: str, outcome: Entry | Exception) -> None:
            outcomes.append((name, outcome))
            if on_result is not None:
                on_result(name, outcome)

        share, client, _ = self._attach()
        make = request(client)

        def part(feed: Iterator[Any], call: Call[None]) -> Deferred[None]:
            return make(feed, lambda name, outcome: call.tell(take, name, outcome))

        share.call(feeding(files, share.thread.post, part), self._timeout)
        return outcomes

    def _attach(self) -> Attached:
        """Return the lease and client of this process; make them if there are none."""
        attached = self._attached
        if attached is not None and attached.lease.thread.usable:
            return attached
        made = self._attach_anew()
        with locked():
            now = self._attached
            if not self._closed and now is attached:  # no other thread was faster
                self._attached = now = made
        if now is not made:
            made.finalizer()
        if now is None:
            raise RuntimeError(CLOSED)
        return now

    def _attach_anew(self) -> Attached:
        if self._closed:
            raise RuntimeError(CLOSED)
        share = lease()
        try:
            client = RetryingClient(
                share.reactor,
                self._depot(share.reactor),
                self._tries,
                _notifier(self._notify),
                patience=self._patience,
                credentials=self._credentials,
            )
        except BaseException:
            share.abandon(_nothing)
            raise
        finalizer = weakref.finalize(self, share.abandon, client.disconnect)
        finalizer.atexit = False  # all connections are closed then
        return Attached(share, client, finalizer)

    def _depot(self, reactor: Any) -> Endpoint:
        if self._host is None:
            assert self._endpoint is not None
            return self._endpoint
        below = HostEndpoint(reactor, self._host, self._port)
        return TLSEndpoint(reactor, below, self._terms) if self._terms else below


def _notifier(notify: Callable[[str], object] | None) -> Callable[[str], None]:
    """Call a function with each line, on the thread whose request the line is about."""

    def tell(line: str) -> None:
        if notify is not None and (call := CALL.get(None)) is not None:
            call.tell(notify, line)

    return tell


async def _nothing() -> None:
    """Do nothing: there is no connection to close."""
