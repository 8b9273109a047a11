"""Run a depot under twistd: options, endpoints, threads, start and stop."""

from __future__ import annotations

import gc
import os
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from xferproto.depot.depot import Depot, DepotLimits
from xferproto.model.errors import CertificateError, StorageLost, XferError
from xferproto.model.identity import ANYONE, Identity
from xferproto.model.units import seconds, size
from xferproto.server.auth.authenticator import Authenticator
from xferproto.server.auth.options import AccessOptions, check_reach
from xferproto.server.auth.users import Users
from xferproto.server.classic.session import ClassicSession
from xferproto.server.connections import Connections
from xferproto.server.factory import XferServerFactory
from xferproto.server.limits import LimitOptions, Limits, depot_limits_of, limits_of
from xferproto.server.listen import (
    ListenOptions,
    allowed_backlog,
    classic_endpoints,
    listening_endpoints,
)
from xferproto.server.maintenance.damage_report import report_damage
from xferproto.server.maintenance.foreign_files import report_foreign_files
from xferproto.server.maintenance.scrub import Scrub
from xferproto.server.ports import Endpoints, Ports
from xferproto.server.tls import ServerCertificate, TLSOptions
from xferproto.server.traffic.channel import ChannelFactory
from xferproto.server.traffic.connection_limit import room_for
from xferproto.signals import OperatorSignals
from xferproto.store.local.store import LocalStore
from xferproto.threads.executor import ThreadExecutor
from xferproto.twistd import ExitStatus, StartReport, port

log = Logger("xfer")

R = TypeVar("R")

UPKEEP_INTERVAL = 60.0
"""Seconds between two checks of the storage directory and of unfinished uploads."""

BACKUP_INTERVAL = 6 * 3600.0
LARGE_BACKUP = 64 * 2**20
"""
Seconds between two copies of a catalogue of this many bytes or more. A smaller one is copied more
often, in proportion, which writes no more bytes a day.
"""

FILE_THREADS = min(32, 4 + 2 * (os.cpu_count() or 1))
"""Threads that hash, write, sync and read: some keep processors busy, some wait for the disk."""


class Options(AccessOptions, LimitOptions, ListenOptions, TLSOptions):
    """Parse the options of C{twistd xfer}."""

    command = "xfer"
    synopsis = "[options]"
    longdesc = "A file depot that verifies what it stores. Its command HELP lists its commands."
    optParameters = [
        ["port", "p", 9000, "TCP port to listen on.", port],
        [
            "interface",
            "i",
            "127.0.0.1",
            "Address to listen on; any but loopback needs --users or --anonymous.",
        ],
        [
            "storage",
            "s",
            "storage",
            "Directory that holds the files; created if it does not exist.",
        ],
        [
            "partial-ttl",
            None,
            7 * 86400.0,
            "How long an unfinished upload is kept, as in 12h or 7d.",
            seconds,
        ],
        [
            "scrub-rate",
            None,
            4 * 2**20,
            "Bytes a second of stored files to verify in the background; 0 for none.",
            size,
        ],
        [
            "max-file-size",
            "m",
            None,
            "Largest file to accept, as in 10G; no limit by default.",
            size,
        ],
    ]

    def postOptions(self) -> None:
        super().postOptions()
        self["storage"] = Path(self["storage"]).absolute()
        if self["users"] is not None:
            self["users"] = Path(self["users"]).absolute()


class DepotService(Service):
    """
    Run a depot: open the store, listen, and stop without losing anything.

    @param reactor: the reactor.
    @param storage: the storage directory.
    @param endpoints: the endpoints to listen on, each with its description.
    @param depot_limits: the limits of what is stored.
    @param partial_ttl: how long an unfinished upload under a token is kept, in seconds.
    @param scrub_rate: the bytes a second that are verified in the background; 0 for none.
    @param limits: the limits of connections.
    @param exit_status: is set to 1 if listening fails after the start.
    @param users: the users file, or None without one.
    @param anonymous: the rights of clients that have not logged in.
    @param certificate: the certificate that C{endpoints} use, or None.
    @param classic: the endpoints for clients of the classic protocol.
    """

    def __init__(
        self,
        reactor: Any,
        storage: Path,
        endpoints: Endpoints,
        depot_limits: DepotLimits,
        partial_ttl: float,
        scrub_rate: int,
        exit_status: ExitStatus,
        limits: Limits,
        users: Path | None = None,
        anonymous: Identity = ANYONE,
        certificate: ServerCertificate | None = None,
        classic: Endpoints = (),
    ) -> None:
        self._reactor = reactor
        self._certificate = certificate
        self._storage = storage
        self._endpoints = endpoints
        self._partial_ttl = partial_ttl
        self._scrub_rate = scrub_rate
        self._scrub: Scrub | None = None
        self._reporting: Deferred[None] | None = None
        self._storage_lost = False
        self._looked = self._backup_due = time.monotonic()
        self._survey: Deferred[None] | None = None
        self._upkeep = LoopingCall(lambda: Deferred.fromCoroutine(self._look_after()))
        self._upkeep.clock = reactor
        self._exit_status = exit_status
        self._pools = {
            name: ThreadPool(minthreads=0, maxthreads=threads, name=name)
            for name, threads in (
                ("files", FILE_THREADS),
                ("writer", 1),
                ("reader", 1),
                ("scans", 1),
            )
        }
        self._depot = Depot(None, self._executor("files"), reactor, depot_limits)
        self._authenticator = Authenticator(self._depot, Users(users), anonymous)
        connections = Connections(reactor, limits)
        self._factory = XferServerFactory(self._depot, self._authenticator, connections)
        self._classic = classic
        session = partial(ClassicSession, self._authenticator.anonymous)
        self._classic_factory = ChannelFactory(connections, self._depot, session)
        self._signals = OperatorSignals(reactor, _notify, self._reloads())
        self._ports = Ports(self._late_failure)

    def _reloads(self) -> dict[str, Callable[[], None]]:
        """Return what SIGHUP reloads, and how."""
        reloads: dict[str, Callable[[], None]] = {}
        if self._certificate is not None:
            reloads["the certificate"] = self._certificate.reload
        if self._authenticator.users.path is not None:
            reloads["the users file"] = self._authenticator.reload
        return reloads

    def _executor(self, pool: str) -> ThreadExecutor:
        return ThreadExecutor(self._reactor, self._pools[pool])

    def privilegedStartService(self) -> None:
        """
        Listen on the endpoints, before privileges are dropped.

        @raise ListenFailed: an endpoint can't be listened on.
        """
        super().privilegedStartService()
        self._ports.listen(self._endpoints, self._factory)
        self._ports.listen(self._classic, self._classic_factory, " for classic clients")

    def _late_failure(self) -> None:
        """Stop with an error: an endpoint can't be listened on."""
        self._exit_status.code = 1
        self._reactor.stop()

    def startService(self) -> None:
        """
        Read the users file, and open the store.

        @raise UsersUnreadable: the users file can't be read, or has a mistake.
        @raise StorageUnavailable: the store can't be opened.
        """
        super().startService()
        self._signals.start()
        try:
            self._start()
        except BaseException:
            self._signals.stop()
            raise

    def _start(self) -> None:
        self._authenticator.users.read()
        self._make_room()
        for pool in self._pools.values():
            pool.start()
        try:
            self._depot.store = LocalStore(
                self._storage,
                files=self._executor("files"),
                writer=self._executor("writer"),
                reader=self._executor("reader"),
                scans=self._executor("scans"),
                now=self._reactor.seconds,
                tokens=self._depot.limits.tokens,
            )
        except XferError:
            self._stop_pools()
            raise
        _settle_collector()
        log.info("storing in {path}", path=str(self._storage))
        maintenance = self._depot.store.maintenance
        self._survey = Deferred.fromCoroutine(report_foreign_files(maintenance, str(self._storage)))
        self._reporting = Deferred.fromCoroutine(report_damage(maintenance))
        self._authenticator.start()
        self._upkeep_ended = self._upkeep.start(UPKEEP_INTERVAL, now=False)
        self._tending = maintenance.tend()
        self._tending.addErrback(lambda failure: log.failure("upkeep failed", failure))
        if self._scrub_rate:
            store, executor = self._depot.store, self._executor("files")
            self._scrub = Scrub(store, executor, self._reactor, self._scrub_rate)
            self._scrub.start()
        if self._certificate is not None:
            self._certificate.announce()
        self._ports.announce()

    def _make_room(self) -> None:
        limit = self._factory.connections.limit
        wanted, limit.most = limit.most, room_for(limit.most)
        if limit.most < wanted:
            log.warn(
                "at most {most} connections at once, not {wanted}: raise the limit of open files",
                most=limit.most,
                wanted=wanted,
            )

    async def _look_after(self) -> None:
        maintenance = self._depot.store.maintenance
        try:
            await maintenance.check()
        except StorageLost:
            if not self._storage_lost:
                log.critical("the storage directory {path} is gone", path=str(self._storage))
            self._storage_lost = True
            return
        if self._storage_lost:
            log.warn("the storage directory {path} is back", path=str(self._storage))
            self._storage_lost = False
        # Monotonic time: a clock that is set forward must not expire uploads.
        now = time.monotonic()
        elapsed, self._looked = now - self._looked, now
        # Each by itself: where the disk is full, the one may go that the other can't.
        aging = maintenance.age_partials(elapsed, self._partial_ttl)
        await self._done("removing old partials", aging)
        await self._done("tidying up", maintenance.tend())
        if now >= self._backup_due:
            self._backup_due = now + BACKUP_INTERVAL / 60  # if it fails
            size = await self._back_up()
            if size is not None:
                self._backup_due = now + BACKUP_INTERVAL * min(1, size / LARGE_BACKUP)

    async def _back_up(self) -> int | None:
        """Copy the catalogue, and return the size of the copy; None if that failed."""
        return await self._done("copying the catalogue", self._depot.store.maintenance.backup())

    async def _done(self, what: str, work: Deferred[R]) -> R | None:
        """Wait for one upkeep task; a failure is logged, and it is tried again the next time."""
        try:
            return await work
        except (OSError, sqlite3.Error, XferError) as error:
            log.error("{what} failed: {error}", what=what, error=error)
        except Exception:
            log.failure("{what} failed", what=what)
        return None

    async def _stop(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
            await self._reporting
        if self._upkeep.running:
            self._upkeep.stop()
            await self._upkeep_ended
            await self._authenticator.stop()
        if self._scrub is not None:
            await self._scrub.stop()
        await self._ports.stop()
        await self._factory.stop()
        if self._survey is not None:
            await self._survey
            await self._back_up()
        await self._depot.store.close()
        self._stop_pools()
        self._signals.stop()  # last: systemd may send SIGHUP behind its SIGTERM

    def stopService(self) -> Deferred[None]:
        """Stop listening, let transfers finish for a few seconds, and close the store."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def _stop_pools(self) -> None:
        for pool in self._pools.values():
            pool.stop()


def _notify(line: str) -> None:
    log.info("{line}", line=line)


def _settle_collector() -> None:
    """
    Run the garbage collector less often, and not over what is loaded by now.

    Requests create and drop many objects, hardly any of them in cycles; by default a few hundred
    new ones start a collection.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def makeService(options: Options) -> Service:
    """
    Make the service for these options.

    @raise SystemExit: a certificate or an endpoint string is wrong, or other machines could connect
        without rights or users given; with one line of text.
    """
    from twisted.internet import reactor

    try:
        certificate = options.certificate()
    except CertificateError as error:
        raise SystemExit(f"xfer: {error}") from None
    endpoints = listening_endpoints(reactor, options, certificate)
    classic = classic_endpoints(reactor, options, certificate)
    check_reach(options)
    if (backlog := allowed_backlog(options["backlog"])) < options["backlog"]:
        log.warn(
            "at most {backlog} connections can wait to be accepted, not {wanted}: raise "
            "net.core.somaxconn",
            backlog=backlog,
            wanted=options["backlog"],
        )
    report = StartReport("xfer")
    service = DepotService(
        reactor,
        options["storage"],
        endpoints,
        depot_limits_of(options),
        options["partial-ttl"],
        options["scrub-rate"],
        ExitStatus(),
        limits_of(options),
        options["users"],
        options.anonymous_identity(),
        certificate,
        classic,
    )
    return report.of(service)
