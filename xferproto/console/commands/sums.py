"""C{xfer sums}: hashes of what is stored, as C{md5sum -c} and C{sha256sum -c} read them."""

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
  xfer sums photos > photos.md5       and where xfer get photos wrote: md5sum -c photos.md5
  xfer sums photos | md5sum -c --quiet
  xfer sums --sha256 report.pdf | sha256sum -c

The names are those that xfer get with the same arguments gives the files, below the directory it
writes to. Without arguments it is all files. What is damaged in the depot has no line, and is a
failure. An MD5 tells damage; where somebody might have made two contents with one MD5 on purpose,
take --sha256.""",
)
@click.argument("whats", nargs=-1, metavar="[ID|NAME|PREFIX]...")
@click.option("--md5", "algorithm", flag_value="md5", default="md5", help="MD5; if not given.")
@click.option("--sha256", "algorithm", flag_value="sha256", help="SHA-256.")
@id_or_name
@click.pass_obj
def sums(chosen: Chosen, whats: tuple[str, ...], algorithm: str, meant: Meant) -> None:
    """Print the hashes of stored files."""
    if meant and not whats:
        raise click.UsageError(f"--{meant} takes arguments")
    run(chosen.settings(), lambda session: _Sums(session, algorithm, meant).run(whats or ("",)))


class _Sums:
    """
    Tells the hashes of files in the order of their names.

    @param session: where it runs.
    @param algorithm: C{md5} or C{sha256}.
    @param meant: what the arguments are, where they may not be either.
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
        Do it. What can't be told the hash of is told as a failure, and the rest goes on.

        @raise Exception: nothing can be asked for any more.
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
        # Each is told as soon as it and all before it are known.
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
                f"another file becomes {self._output.shown(file.relative)} too",
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
