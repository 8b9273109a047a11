"""A program that uses the API and is strict about types; see tests/client/test_python.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint

from xferproto import (
    BlockingClient,
    ConnectError,
    DNSLookupError,
    Entry,
    OnResult,
    OnWait,
    Outcomes,
    Progress,
    RequestError,
    RetryingClient,
    Status,
    XferClientProtocol,
    XferError,
    connect,
    tls_endpoint,
)
from xferproto.model.errors import REQUEST_ERRORS, NoSuchFile


def shown(done: int, total: int) -> None:
    print(done, total)


def waited(percent: int, what: str) -> None:
    print(percent, what)


def told(name: str, outcome: Entry | Exception) -> None:
    print(name, outcome.id if isinstance(outcome, Entry) else outcome)


CALLBACKS: tuple[Progress, OnWait, OnResult] = (shown, waited, told)


def blocking(ca: Path) -> bytes:
    with BlockingClient("tcp:127.0.0.1:9000", credentials=("alice", "x"), notify=print) as depot:
        entry: Entry = depot.upload(Path("x"), progress=shown, on_wait=waited)
        size: int = depot.upload(b"x", "x").size
        status: Status = depot.stat(entry.id)
        names: list[str] = [found.name for found in depot.list_files("x")]
        pairs = ((path, path.name) for path in Path().iterdir())
        outcomes: Outcomes = depot.upload_many(pairs, told)
        for _, outcome in depot.upload_many([(b"x", "y"), ("a", "b"), (Path("x"), "y")]):
            if isinstance(outcome, Exception):
                raise outcome
            size += outcome.size
        depot.download_many([(entry.id, Path("y")), (entry.id, "z")], replace=True)
        try:
            depot.verify(entry.id)
        except NoSuchFile as error:
            print(error.symbol, error.text)
        except (XferError, ConnectError, DNSLookupError, OSError):
            pass
        print(size, status.sha256, names, outcomes)
    other = BlockingClient(host="depot.example", tls=True, ca=ca, timeout=5.0, tries=3)
    return other.read(entry.id, largest=5)


async def deferred(reactor: Any) -> list[Entry]:
    depot: XferClientProtocol = await connect(reactor, "tcp:127.0.0.1:9000")
    stored: Entry = await depot.upload("README.md", progress=shown)
    await depot.upload_many([(b"x", "y")], told)
    await (await connect(reactor, tls_endpoint(reactor, "depot.example", 9000))).disconnect()
    retrying = RetryingClient(reactor, HostnameEndpoint(reactor, "depot.example", 9000))
    refusal: type[RequestError] = REQUEST_ERRORS["busy"]
    print(stored, refusal, await retrying.read(stored.id, 5))
    listing: Deferred[list[Entry]] = retrying.list_files()
    return await listing
