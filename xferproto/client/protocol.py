"""The client's protocol: the requests that a connection to a depot takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from xferproto.client import listing, queries
from xferproto.client.bulk_download import BulkDownloader
from xferproto.client.bulk_upload import BulkUploader
from xferproto.client.callbacks import Begun, OnResult, OnWait, Progress
from xferproto.client.commands import send_quit
from xferproto.client.connection import Connection
from xferproto.client.deprecation import renamed_parameters
from xferproto.client.download import Downloader
from xferproto.client.login import login
from xferproto.client.request_queue import RequestQueue
from xferproto.client.settings import Settings
from xferproto.client.upload import Uploader
from xferproto.model.entry import Entry, Status
from xferproto.wire.commands import Command


class XferClientProtocol(Protocol):
    """
    Make requests over a connection to a depot.

    Every request returns a Deferred. Requests may be made at any time; they are sent one after the
    other. A Deferred fails with

     - a L{RequestError} when the server refuses (the connection goes on, unless it was refused
       while the file was being sent);
     - L{HashMismatch} when the hashes of client and server differ;
     - L{ConnectionCut} when the connection ends first;
     - L{UnexpectedReply} when the answer is not of xfer's protocol.

    Cancelling a Deferred whose request was sent closes the connection, because a request can't be
    withdrawn.

    @param settings: what the connection has in common with others of its factory.
    """

    transport: tcp.Connection

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)
        self._requests = RequestQueue(self._connection)
        self._uploader = Uploader(self._connection)
        self._downloader = Downloader(self._connection)
        self._bulk_uploader = BulkUploader(self._connection, self._uploader)
        self._bulk_downloader = BulkDownloader(self._connection)

    @property
    def usable(self) -> bool:
        """Whether a request made now may be answered: the connection has not ended."""
        return self._connection.usable

    @property
    def hung_up(self) -> bool:
        """Whether the server has closed the connection without having sent anything."""
        return self._connection.hung_up

    # Events of the transport

    def connectionMade(self) -> None:
        self._connection.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._connection.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connection.connectionLost(reason)

    # Requests

    def login(self, user: str, password: str) -> Deferred[None]:
        """
        Log in as a user, whose rights count from then on.

        @raise Insecure: others could read the password, because the connection is neither over TLS
            nor within the machine. Then nothing is sent.
        @raise LoginFailed: the server does not accept this name and password; a L{Denied<
            xferproto.model.errors.Denied>}.
        """
        return self._requests.run(login(self._connection, user, password))

    def list_files(self, prefix: str = "") -> Deferred[list[Entry]]:
        """
        Return the entries whose names begin with C{prefix}, in name order.

        @raise AnswerTooLong: there are more than can be kept, about a million; the connection is
            closed then.
        """
        return self._requests.run(
            listing.list_entries(self._connection, Command.LIST_FILES, prefix)
        )

    @renamed_parameters(told="on_entry")
    def each_file(self, prefix: str, on_entry: Callable[[Entry], object]) -> Deferred[None]:
        """
        As L{list_files}, for a listing of any length: none of it is kept.

        @param on_entry: called with each entry as it comes.
        @return: fires when all have come. Fails with what C{on_entry} raised; the connection is
            closed then, for what is still on its way.
        """
        return self._requests.run(
            listing.each_entry(self._connection, Command.LIST_FILES, prefix, on_entry)
        )

    def list_damaged(self, prefix: str = "") -> Deferred[list[Entry]]:
        """
        As L{list_files}, the entries whose stored bytes are known to be damaged; they are in no
        other listing.

        @raise AnswerTooLong: as for L{list_files}.
        @raise BadCommand: the server is older than this request.
        """
        return self._requests.run(
            listing.list_entries(self._connection, Command.LIST_DAMAGED, prefix)
        )

    @renamed_parameters(told="on_entry")
    def each_damaged(self, prefix: str, on_entry: Callable[[Entry], object]) -> Deferred[None]:
        """As L{each_file}, the entries of L{list_damaged}."""
        return self._requests.run(
            listing.each_entry(self._connection, Command.LIST_DAMAGED, prefix, on_entry)
        )

    def help(self) -> Deferred[list[str]]:
        """Return the server's lines about its commands; needs no right."""
        return self._requests.run(queries.help_lines(self._connection))

    def stat(self, id: str) -> Deferred[Status]:
        """
        Return all that the depot knows of a content.

        @raise AnswerTooLong: as for L{list_files}, of its names.
        """
        return self._requests.run(queries.stat(self._connection, id))

    def upload(
        self,
        source: Path | str | bytes,
        name: str | None = None,
        progress: Progress | None = None,
    ) -> Deferred[Entry]:
        """
        Store a file, and compare the MD5 of server and client.

        @param source: a path, or the content itself as bytes.
        @param name: the name to store it under; None for the file's own.
        @param progress: called with how many bytes are sent; once with all of them, also for an
            empty file; then the server's answer is awaited.
        @return: fires with the entry, when the file is safe on the server's disk.
        @raise OSError: the file can't be read.
        @raise SourceChanged: the file became shorter while it was sent.
        """
        return self._requests.run(self._uploader.upload(source, name, progress))

    @renamed_parameters(waited="on_wait")
    def resume(
        self,
        source: Path | str | bytes,
        name: str | None = None,
        token: str | None = None,
        progress: Progress | None = None,
        on_wait: OnWait | None = None,
        begun: Begun | None = None,
    ) -> Deferred[Entry]:
        """
        Store a file under a token, from where an earlier try ended; else like L{upload}.

        The part that the server holds is compared with the file first; if it differs, the whole
        file is sent.

        @param token: a name for the upload: C{sha256:HEX} of the content, or any other. None for
            one made of the file's path, size, time and inode.
        @param progress: called with the offset where sending begins, and how many bytes are sent.
        @param on_wait: called with how far the server's work is, 0 to 100, and what it is, when it
            takes longer than some seconds: hashing what is held, or storing. The words are the
            server's: escape them.
        @param begun: called with name and token when the server has accepted them, and may hold
            something.
        """
        return self._requests.run(
            self._uploader.resume(source, name, token, progress, begun), on_wait
        )

    def discard(self, name: str, token: str) -> Deferred[None]:
        """
        Let the server drop what it holds under the token of an upload that will not be resumed.

        @param name: any name.
        @raise Busy: another connection sends under the token.
        """
        return self._requests.run(self._uploader.discard(name, token))

    @renamed_parameters(waited="on_wait")
    def verify(self, id: str, on_wait: OnWait | None = None) -> Deferred[None]:
        """
        Let the server hash the stored bytes again.

        @param on_wait: called with how far it is, as for L{resume}.
        @raise Corrupt: they are damaged.
        """
        return self._requests.run(
            queries.confirm(self._connection, Command.VERIFY, id, None), on_wait
        )

    def delete(self, id: str, name: str | None = None) -> Deferred[None]:
        """Remove one name of a content, or all of them if C{name} is None."""
        return self._requests.run(queries.confirm(self._connection, Command.DELETE, id, name))

    def download(
        self,
        id: str,
        target: Path | str,
        replace: bool = False,
        progress: Progress | None = None,
        resume: bool = False,
    ) -> Deferred[Entry]:
        """
        Fetch a file: write it aside, and rename it to C{target} when its size and MD5 are right.

        @param target: a path of the caller's choice; names from the server decide nothing.
        @param replace: whether a file that is there may be replaced.
        @param progress: called with how many bytes have come; once with all of them, also for an
            empty file and for one that had come before; unless all is fetched anew.
        @param resume: whether to keep the part that came when the download ends early, in a hidden
            file beside C{target}, and to resume from there the next time. If the part turns out to
            be wrong, it is removed, and the whole file is fetched again.
        @return: fires with the entry, when C{target} is on the disk.
        @raise TargetExists: C{target} is there and may not be replaced.
        @raise OSError: C{target} can't be written.
        """
        return self._requests.run(
            self._downloader.download(id, Path(target), replace, progress, resume)
        )

    def read(self, id: str, largest: int, progress: Progress | None = None) -> Deferred[bytes]:
        """
        Fetch a content into memory.

        @param largest: the most bytes that the content may have.
        @param progress: as for L{download}.
        @return: fires with the content, when its size and MD5 are right.
        @raise TooLarge: it has more; then the connection is closed, as the content is on its way.
        """
        return self._requests.run(self._downloader.read(id, largest, progress))

    @renamed_parameters(told="on_result")
    def upload_many(
        self, files: Iterable[tuple[Path | str | bytes, str]], on_result: OnResult
    ) -> Deferred[None]:
        """
        Store files, each hashed and compared as with L{upload}; fast if they are small.

        Those up to 64 KiB are sent without waiting for the answers to earlier ones.

        @param files: a source and a name each. They are taken as they are sent, a few hundred
            ahead, on the reactor's thread: there may be any number of them.
        @param on_result: called once for each file, in their order: with its name, and the entry
            when the server has it safe on its disk and the hashes agree, or else why not: a
            L{RequestError}, L{HashMismatch}, L{SourceChanged}, C{OSError}. The others go on.
        @return: fires when all have an outcome. Fails with what C{files} or C{on_result} raised; or
            when the connection can't go on, and files without an outcome may be stored or not.
        """
        return self._requests.run(self._bulk_uploader.upload(files, on_result))

    @renamed_parameters(told="on_result")
    def download_many(
        self, files: Iterable[tuple[str, Path | str]], on_result: OnResult, replace: bool = False
    ) -> Deferred[None]:
        """
        Fetch files, each checked and made durable as with L{download}; fast if they are small.

        They are asked for without waiting for earlier ones, and written many at a time.

        @param files: an id and a target each, taken as for L{upload_many}.
        @param on_result: called once for each file, in their order: with its id, and the entry
            when its target is on the disk, or else why not: a L{RequestError}, L{HashMismatch},
            L{TargetExists}, C{OSError}. The others go on.
        @param replace: whether files that are there may be replaced.
        @return: as for L{upload_many}; a file without an outcome has no target.
        """
        return self._requests.run(self._bulk_downloader.download(files, on_result, replace))

    def disconnect(self) -> Deferred[None]:
        """Close the connection after the requests made so far; fires when it is closed."""
        closed = self._connection.when_closed()
        if not closed.called:
            quitting = self._requests.run(send_quit(self._connection))
            quitting.addErrback(lambda _: None)  # it closes in any case
        return closed
