"""What a depot has acknowledged, what is in doubt, and what it shows after a restart."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.drills.depot import Content
from tests.support.depot import small_rows
from xferproto import Entry, XferClientProtocol, XferError

Key = tuple[str, str]
"""An id and a name."""


@dataclass
class Journal:
    """
    The clients' book: an entry is written before anything is asked, and again when it is answered.

    @ivar contents: what may be stored, by id.
    @ivar acknowledged: stored, by the server's own word, and not asked to be deleted since.
    @ivar doubtful: asked for without an answer; may be listed or not.
    @ivar tokens: of uploads that were begun and not acknowledged.
    @ivar failures: the broken promises, one line each.
    """

    contents: dict[str, Content] = field(default_factory=dict)
    acknowledged: dict[Key, Content] = field(default_factory=dict)
    doubtful: set[Key] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    _asking: Counter[str] = field(default_factory=Counter)

    def asked_to_store(self, name: str, content: Content) -> None:
        """An upload begins."""
        self.contents[content.md5] = content
        self.doubtful.add((content.md5, name))

    def stored(self, name: str, content: Content) -> None:
        """Its id has come."""
        self.doubtful.discard((content.md5, name))
        self.acknowledged[content.md5, name] = content

    @contextmanager
    def under(self, token: str) -> Iterator[None]:
        """Wait for the id of an upload under a token, which others may be using too."""
        self.tokens.add(token)
        self._asking[token] += 1
        try:
            yield
        except BaseException:
            self._asking[token] -= 1
            raise
        self._asking[token] -= 1
        if not self._asking[token]:
            self.tokens.discard(token)

    def asked_to_delete(self, key: Key) -> None:
        """A deletion begins."""
        del self.acknowledged[key]
        self.doubtful.add(key)

    def deleted(self, key: Key) -> None:
        """It is confirmed."""
        self.doubtful.discard(key)

    def settle(self, listed: set[Key]) -> None:
        """What was in doubt is what the listing shows; from now on it must stay so."""
        for key in self.doubtful & listed:
            self.acknowledged[key] = self.contents[key[0]]
        self.doubtful.clear()
        self.contents = {content.md5: content for content in self.acknowledged.values()}

    def fail(self, text: str) -> None:
        """A promise was broken."""
        self.failures.append(text)


def check_files(storage: Path, journal: Journal) -> None:
    """Look for what leaks in the storage directory of a server that has just started."""
    for path in (storage / "incoming").iterdir():
        journal.fail(f"incoming/{path.name} is left")
    expected = {hashlib.sha256(token.encode()).hexdigest() for token in journal.tokens}
    for path in (storage / "partial").iterdir():
        if path.name not in expected:
            journal.fail(f"partial/{path.name} is of no upload that lacks bytes")


async def check_listing(
    client: XferClientProtocol, storage: Path, fetched: Path, journal: Journal
) -> int:
    """
    Compare what a depot lists and gives out with the journal, and settle what was in doubt.

    @param client: a fresh connection; nothing else may be asked of the depot meanwhile.
    @param fetched: a path to fetch to.
    @return: how many entries there are.
    """
    entries = await client.list_files()
    listed = {(entry.id, entry.name) for entry in entries}
    for key in journal.acknowledged.keys() - listed:
        journal.fail(f"{key} was acknowledged and is not listed")
    for key in listed - journal.acknowledged.keys() - journal.doubtful:
        journal.fail(f"{key} is listed and was never asked for, or deleted")
    files = {path.name for path in (storage / "objects").rglob("*") if path.is_file()}
    ids = {id for id, _ in listed}
    for id in files - ids:
        journal.fail(f"the object {id} is stored and not listed")
    rows = Counter(id for _, id in small_rows(storage))
    for id in rows.keys() - ids:
        journal.fail(f"the small content {id} is stored and not listed")
    for id in rows.keys() & files:
        journal.fail(f"{id} has a file and is a small content")
    for id in (id for id, count in rows.items() if count > 1):
        journal.fail(f"the small content {id} is stored more than once")
    for id in sorted(ids):
        try:
            await _check_content(client, id, entries, fetched, journal)
        except XferError as error:
            journal.fail(f"{id} is listed and can't be had: {error}")
    journal.settle(listed)
    return len(entries)


async def _check_content(
    client: XferClientProtocol, id: str, entries: list[Entry], fetched: Path, journal: Journal
) -> None:
    def expect(good: bool, text: str) -> None:
        if not good:
            journal.fail(f"{id}: {text}")

    wanted = journal.contents.get(id)
    if wanted is None:
        return  # it was told already
    status = await client.stat(id)
    expect(status.sha256 == wanted.sha256, "STAT tells another SHA-256")
    expect(
        sorted(status.entries, key=lambda entry: entry.name)
        == sorted((one for one in entries if one.id == id), key=lambda entry: entry.name),
        "STAT and the listing tell different entries",
    )
    await client.download(id, fetched, replace=True)
    expect(fetched.read_bytes() == wanted.data, "the download has other bytes")
