"""C{xfer sums}: print hashes in the format of C{md5sum} and C{sha256sum}."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import click

from xferproto.console.options import Chosen, command
from xferproto.console.session import Session, run
from xferproto.console.transfers.ambiguity import Meant, id_or_name
from xferproto.model.errors import Corrupt

if TYPE_CHECKING:
    from xferproto.client.retry import RetryingClient
    from xferproto.console.transfers.resolve import RemoteFile


@command(
    "sums",
    epilog="""\b
Examples:
  xfer sums photos > photos.md5       then md5sum -c photos.md5, where xfer get photos wrote
  xfer sums photos | md5sum -c --quiet
  xfer sums --sha256 report.pdf | sha256sum -c

The names are those that xfer get with the same arguments gives the files. Without arguments, sums
prints all files. A damaged file has no line, and is a failure. MD5 detects damage; use --sha256 if
somebody could have made two contents with the same MD5 on purpose.""",
)
@click.argument("whats", nargs=-1, metavar="[ID|NAME|PREFIX]...")
@click.option(
    "--md5", "algorithm", flag_value="md5", default="md5", help="Print MD5 sums (the default)."
)
@click.option("--sha256", "algorithm", flag_value="sha256", help="Print SHA-256 sums.")
@id_or_name
@click.pass_obj
def sums(chosen: Chosen, whats: tuple[str, ...], algorithm: str, meant: Meant) -> None:
    """Print the hashes of stored files."""
    if meant and not whats:
        raise click.UsageError(f"--{meant} needs arguments")
    run(chosen.settings(), lambda session: _Sums(session, algorithm, meant).run(whats or ("",)))


class _Sums:
    """
    Print the hashes of files in the order of their names.

    @param session: where it runs.
    @param algorithm: C{md5} or C{sha256}.
    @param meant: whether the arguments are ids or names; None for either.
    """

    def __init__(self, session: Session, algorithm: str, meant: Meant) -> None:
        self._session = session
        self._output = session.output
        self._algorithm = algorithm
        self._meant = meant
        self._files: dict[str, RemoteFile] = {}
        self._hashes: dict[str, str | None] = {}

    async def run(self, whats: tuple[str, ...]) -> None:
        """
        Print all hashes; report files without one as failures, and go on with the others.

        @raise Exception: no other hash can be had.
        """
        from xferproto.console.transfers.connections import Jobs
        from xferproto.console.transfers.resolve import resolve
        from xferproto.console.transfers.run import is_of_all

        client = self._session.client()
        for what in whats:
            try:
                for file in await resolve(client, what, self._output.note, self._meant):
                    self._take(file)
            except Exception as error:
                if is_of_all(error):
                    raise
                self._output.failed(what, error)
        if self._algorithm == "md5":
            for file in self._files.values():
                self._tell(file, file.entry.id)
            return
        # Each is printed as soon as it and all before it are known.
        asked = deque({file.entry.id: file for file in self._files.values()}.values())
        telling = iter(self._files.values())
        waiting = next(telling, None)

        async def work(client: RetryingClient) -> None:
            nonlocal waiting
            while asked:
                file = asked.popleft()
                try:
                    await self._ask(client, file)
                except BaseException:
                    asked.appendleft(file)
                    raise
                while waiting is not None and waiting.entry.id in self._hashes:
                    self._tell(waiting, self._hashes[waiting.entry.id])
                    waiting = next(telling, None)

        jobs = Jobs(self._session, work, lambda: bool(asked))
        await jobs.run(client, min(self._session.settings.jobs, len(asked)))

    def _take(self, file: RemoteFile) -> None:
        from xferproto.console.ui.advice import LocalRefusal

        if file.damaged:
            entry = file.entry
            self._output.failed(entry.name, Corrupt(), id=entry.id, name=entry.name)
            return
        other = self._files.setdefault(file.relative, file)
        if other.entry.id != file.entry.id:
            refusal = LocalRefusal(
                f"another file is called {self._output.shown(file.relative)} too",
                "ask for them one after the other",
            )
            self._output.failed(file.entry.name, refusal, id=file.entry.id)

    async def _ask(self, client: RetryingClient, file: RemoteFile) -> None:
        from xferproto.console.transfers.run import is_of_all

        entry = file.entry
        try:
            self._hashes[entry.id] = (await client.stat(entry.id)).sha256
        except Exception as error:
            if is_of_all(error):
                raise
            self._hashes[entry.id] = None
            self._output.failed(entry.name, error, id=entry.id, name=entry.name)

    def _tell(self, file: RemoteFile, hash: str | None) -> None:
        if hash is None:
            return
        self._output.result(
            f"{hash}  {self._output.shown(file.relative)}",
            event="sum",
            algorithm=self._algorithm,
            hash=hash,
            path=file.relative,
            id=file.entry.id,
            name=file.entry.name,
            size=file.entry.size,
        )
