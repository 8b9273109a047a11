"""What one user of a depot may do, asked without any protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import md5
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import make_store, overwrite
from tests.support.executors import GatedExecutor
from tests.support.held import held_by_depot
from xferproto.depot.account import Account, IAccount
from xferproto.depot.depot import Depot
from xferproto.model.errors import Corrupt, Denied, LoginRequired, NoSuchFile, RequestError
from xferproto.model.identity import ALL_RIGHTS, NOBODY, Identity, Right, View
from xferproto.store.interface import ITextListing
from xferproto.store.local.packed import SMALL_SIZE

SMALL, LARGE = b"hello", bytes(SMALL_SIZE + 1)
ABSENT = "0" * 32

USES: dict[str, tuple[Right, Callable[[Account, str], Any]]] = {
    "list_text": (Right.LIST, lambda account, id: account.list_text("")),
    "list_damaged_text": (Right.LIST, lambda account, id: account.list_damaged_text("")),
    "status": (Right.LIST, lambda account, id: account.status(id)),
    "names_text": (Right.LIST, lambda account, id: account.names_text(id)),
    "list": (Right.LIST, lambda account, id: account.list("", None, 1)),
    "find": (Right.LIST, lambda account, id: account.find("a", 1)),
    "upload_status": (Right.WRITE, lambda account, id: account.upload_status("t")),
    "get": (Right.READ, lambda account, id: account.get(id)),
    "open": (Right.READ, lambda account, id: account.open(id)),
    "verify": (Right.READ, lambda account, id: account.verify(id)),
    "begin_now": (Right.WRITE, lambda account, id: account.begin_now("b", 5)),
    "begin": (Right.WRITE, lambda account, id: account.begin("b", len(LARGE))),
    "resume": (Right.WRITE, lambda account, id: account.resume("b", len(LARGE), "t")),
    "put": (Right.WRITE, lambda account, id: account.put("b", b"")),
    "delete": (Right.DELETE, lambda account, id: account.delete(id)),
}
"""Every use of a depot, and the right that it needs, by hand."""


def id_of(content: bytes) -> str:
    return md5(content).hexdigest()


class AccountCase(SynchronousTestCase):
    """A depot over a local store, and accounts of its users."""

    def setUp(self) -> None:
        self.executor = GatedExecutor()
        self.store = make_store(self, files=self.executor)
        self.depot = Depot(self.store, self.executor, Clock())
        self.addCleanup(lambda: self.assertEqual(held_by_depot(self.depot), {}))

    def account(self, name: str = "kim", *rights: Right, all: bool = True) -> Account:
        identity = Identity(name, frozenset(rights) or ALL_RIGHTS, View(name, all))
        return Account(self.depot, name, lambda: identity)

    def put(self, account: Account, content: bytes, name: str = "a") -> str:
        return self.successResultOf(account.put(name, content)).id

    def lines(self, listing: ITextListing) -> list[str]:
        """The names that are listed, and their ids."""
        return self.successResultOf(listing.read()).decode().splitlines()

    def end(self, begun: Any) -> None:
        """Let go of what a use of a depot gave."""
        if isinstance(begun, Deferred):
            begun = self.successResultOf(begun)
        if hasattr(begun, "abort"):
            self.successResultOf(begun.abort())
        elif hasattr(begun, "close"):
            begun.close()


class RightsTests(AccountCase):
    """Each use, and the right that it needs."""

    def test_all_uses(self) -> None:
        """The table has every public method of an account."""
        public = {name for name in vars(Account) if not name.startswith("_")}
        self.assertEqual(public - {"identity", "require"}, set(USES))
        self.assertTrue(IAccount.implementedBy(Account))

    def test_each(self) -> None:
        """One right is enough for what needs it, and for nothing else."""
        for use, (needed, call) in USES.items():
            for right in Right:
                with self.subTest(f"{use} with {right.value}"):
                    id = self.put(self.account("root"), LARGE)
                    account = self.account("kim", right)
                    if right is needed:
                        self.end(call(account, id))
                    else:
                        self.assertRaises(Denied, call, account, id)

    def test_strangers(self) -> None:
        """Strangers who may not are asked to log in."""
        stranger = Account(self.depot, "", lambda: NOBODY)
        for use, (_, call) in USES.items():
            with self.subTest(use):
                self.assertRaises(LoginRequired, call, stranger, ABSENT)

    def test_withdrawn(self) -> None:
        """A right that is withdrawn holds for the next use; what is begun goes on."""
        now = [Identity("kim")]
        account = Account(self.depot, "kim", lambda: now[0])
        upload = self.successResultOf(account.begin("b", len(LARGE)))
        id = self.put(account, LARGE)
        now[0] = replace(now[0], rights=frozenset([Right.LIST]))
        self.assertEqual(account.identity, now[0])
        for use, (needed, call) in USES.items():
            with self.subTest(use):
                if needed is not Right.LIST:
                    self.assertRaises(Denied, call, account, id)
        upload.write(LARGE)
        self.assertEqual(self.successResultOf(upload.finish()).name, "b")


class ViewTests(AccountCase):
    """Whose files are seen, and whose are stored."""

    def setUp(self) -> None:
        super().setUp()
        self.mine, self.root = self.account(all=False), self.account("root")

    def refused(self, begun: Any, error: type[RequestError] = NoSuchFile) -> None:
        self.failureResultOf(begun, error)

    def test_others(self) -> None:
        """Who sees their own files only comes by no others, whatever the use."""
        for content in (SMALL, LARGE):
            id = self.put(self.root, content, "theirs")
            for account, seen in ((self.mine, False), (self.root, True)):
                listed = [f"{id};theirs;{len(content)}"] if seen else []
                self.assertEqual(self.lines(account.list_text("")), listed)
                self.assertEqual(self.lines(account.names_text(id)), listed)
            for use in ("status", "get", "open", "verify", "delete"):
                self.refused(USES[use][1](self.mine, id))
                if use != "delete":
                    self.end(USES[use][1](self.root, id))
            self.successResultOf(self.root.delete(id))

    def test_damaged(self) -> None:
        """Nor do they learn that others' are damaged."""
        for content in (SMALL, LARGE):
            id = self.put(self.root, content, "theirs")
            overwrite(self.store._root, id, bytes(len(content)) + b"x")
            overwrite(self.store._root, id, b"x" * len(content))
            self.refused(self.mine.verify(id))
            self.refused(self.root.verify(id), Corrupt)
            self.assertEqual(self.lines(self.mine.list_damaged_text("")), [])
            self.assertEqual(
                self.lines(self.root.list_damaged_text("")), [f"{id};theirs;{len(content)}"]
            )
            self.successResultOf(self.root.delete(id))

    def test_stored(self) -> None:
        """What is stored is its user's, by whatever way."""
        other = self.account("lee", all=False)
        uploads = [self.mine.begin_now("now", 5)]
        uploads += map(self.successResultOf, (self.mine.begin("small", 5),))  # type: ignore[arg-type]
        large = self.successResultOf(self.mine.begin("large", len(LARGE)))
        token = self.successResultOf(self.mine.resume("token", len(LARGE), "t"))
        self.successResultOf(token.resume(0))
        for upload in (*uploads, large, token):
            assert upload is not None
            upload.write(SMALL if upload.size == 5 else LARGE)
            self.successResultOf(upload.finish())
        self.put(self.mine, SMALL, "put")
        names = [line.split(";")[1] for line in self.lines(self.mine.list_text(""))]
        self.assertEqual(names, ["large", "now", "put", "small", "token"])
        self.assertEqual(self.lines(other.list_text("")), [])

    def test_tokens(self) -> None:
        """A token is its owner's: two users have it at once."""
        uploads = [
            self.successResultOf(account.resume("a", len(LARGE), "t"))
            for account in (self.mine, self.root)
        ]
        self.assertEqual(sorted(self.depot.tokens), [("kim", "t"), ("root", "t")])
        for upload in uploads:
            self.successResultOf(upload.abort())

    def test_not_told(self) -> None:
        """Who may not read, or does not see a content, is not told that it is stored."""
        self.put(self.root, LARGE)
        status = self.successResultOf(self.root.status(id_of(LARGE)))
        for account, known in (
            (self.root, True),
            (self.account("kim", Right.READ, Right.WRITE), True),
            (self.account("kim", Right.WRITE), False),
            (self.mine, False),
        ):
            token = f"sha256:{status.sha256}"
            resuming = account.resume("b", len(LARGE), token, status.sha256)
            upload = self.successResultOf(resuming)
            self.assertEqual(upload.known, known)
            self.successResultOf(upload.abort())


class UseTests(AccountCase):
    """What the uses give."""

    def test_get(self) -> None:
        """A small content comes at once, a large one is to be opened."""
        account = self.account()
        for content in (SMALL, LARGE):
            id = self.put(account, content)
            entry, found = self.successResultOf(account.get(id))
            self.assertEqual(entry.size, len(content))
            self.assertEqual(found, content if content is SMALL else None)
            download = self.successResultOf(account.open(id))
            self.assertEqual(download.entry, entry)
            read, blocks = download.blocks(1, len(content) - 2, largest=7000), []
            while block := self.successResultOf(read()):
                blocks.append(block)
            self.assertEqual(b"".join(blocks), content[1:-1])
            self.assertLessEqual(max(map(len, blocks)), 7000)
            download.close()

    def test_prefix(self) -> None:
        """Names are listed by their beginnings."""
        account = self.account()
        for name in ("a/b", "a/c", "b"):
            self.put(account, SMALL, name)
        self.assertEqual(len(self.lines(account.list_text("a/"))), 2)
        self.successResultOf(account.delete(id_of(SMALL), "a/b"))
        self.assertEqual(len(self.lines(account.list_text("a/"))), 1)

    def test_find(self) -> None:
        """Entries are listed page by page, and looked up by their name; those that are seen."""
        account, other = self.account(all=False), self.account("lee", all=False)
        ids = [self.put(account, content, name) for name, content in (("a", SMALL), ("b", LARGE))]
        first, second = self.successResultOf(account.list("", None, 10))
        self.assertEqual([first.entry.id, second.entry.id], ids)
        after = first.entry.name, first.entry.id
        self.assertEqual(self.successResultOf(account.list("", after, 10)), [second])
        self.assertEqual(self.successResultOf(account.find("b", 1)), [second])
        self.assertEqual(self.successResultOf(other.list("", None, 10)), [])
        self.assertEqual(self.successResultOf(other.find("b", 1)), [])

    def test_upload_status(self) -> None:
        """What came under a token is looked up without taking it; for its owner alone."""
        account, other = self.account(), self.account("lee")
        upload = self.successResultOf(account.resume("a", len(LARGE), "t"))
        self.successResultOf(upload.resume(0))
        upload.write(LARGE[:5])
        status = self.successResultOf(account.upload_status("t"))
        assert status is not None
        self.assertEqual((status.name, status.running), ("a", True))
        self.assertIs(self.successResultOf(other.upload_status("t")), None)
        self.successResultOf(upload.abort())

    def test_verify(self) -> None:
        """How far it has come is told; damage is an error."""
        account = self.account()
        id = self.put(account, LARGE)
        heard: list[tuple[int, int]] = []
        self.successResultOf(account.verify(id, lambda done, total: heard.append((done, total))))
        self.assertEqual((heard[0], heard[-1]), ((0, len(LARGE)), (len(LARGE), len(LARGE))))
        overwrite(self.store._root, id, b"x" * len(LARGE))
        self.failureResultOf(account.verify(id), Corrupt)

    def test_lost(self) -> None:
        """Who is gone holds nothing once the disk has answered."""
        account = self.account()
        id = self.put(account, LARGE)
        self.executor.open = False
        for use in (account.open, account.verify):
            waiting: Deferred[Any] = use(id)
            self.assertNoResult(waiting)
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
            self.executor.run_all()
            self.assertEqual(held_by_depot(self.depot), {})
        self.executor.open = True

    def test_identity(self) -> None:
        """Two accounts of one depot are as different as their identities."""
        kim = self.account("kim")
        self.assertEqual((kim.name, kim.identity.view.owner), ("kim", "kim"))
        self.assertIs(kim.require(Right.LIST), kim.identity)
