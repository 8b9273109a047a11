"""Who may do what, and whose files they come by."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import md5, sha256

from twisted.trial.unittest import SynchronousTestCase

from tests.server.line.test_sessions import closes
from tests.support.depot import Depot, Session, make_store, overwrite
from tests.support.visitors import PASSWORD, peer, user
from xferproto.model.errors import Denied, LoginRequired, NoSuchFile
from xferproto.model.identity import ALL_RIGHTS, Identity, Right, View
from xferproto.server.line.session import DISCARD_LIMIT
from xferproto.store.local.packed import SMALL_SIZE
from xferproto.wire.codec import EMPTY_MD5, format_error, format_time
from xferproto.wire.commands import Command
from xferproto.wire.states import State

LARGE = bytes(SMALL_SIZE + 1)
ABSENT = "0" * 32
NO_SUCH_FILE = format_error(NoSuchFile()) + b"\n"
DENIED = format_error(Denied()) + b"\n"
STRANGE = format_error(LoginRequired()) + b"\n"
NOTHING = f"0;{EMPTY_MD5}\n".encode()


def id_of(content: bytes) -> str:
    return md5(content).hexdigest()


RIGHTS: dict[Command, Right] = {
    Command.LIST_FILES: Right.LIST,
    Command.STAT: Right.LIST,
    Command.DOWNLOAD: Right.READ,
    Command.VERIFY: Right.READ,
    Command.UPLOAD: Right.WRITE,
    Command.RESUME: Right.WRITE,
    Command.DELETE: Right.DELETE,
    Command.LIST_DAMAGED: Right.LIST,
}
"""
The right that each command needs, by hand, as docs/protocol.md has it: what is read from the code
would be wrong together with it.
"""

FREE = (Command.LOGIN, Command.HELP, Command.QUIT)
"""The commands that need none."""

REQUESTS: dict[Command, bytes] = {
    Command.LIST_FILES: b"LIST_FILES\n",
    Command.STAT: b"STAT %s\n",
    Command.DOWNLOAD: b"DOWNLOAD %s\n",
    Command.VERIFY: b"VERIFY %s\n",
    Command.UPLOAD: b"UPLOAD b;2\nhi",
    Command.RESUME: b"RESUME b;2;t\n",
    Command.DELETE: b"DELETE %s\n",
    Command.LIST_DAMAGED: b"LIST_DAMAGED\n",
}
"""A request of each command that needs a right; C{%s} is an id."""

ANSWERS: dict[Command, bytes] = {
    Command.LIST_FILES: b";a;5\n",
    Command.STAT: b"\nsha256 ",
    Command.DOWNLOAD: b";a;5\nhello",
    Command.VERIFY: md5(b"hello").hexdigest().encode(),
    Command.UPLOAD: md5(b"hi").hexdigest().encode(),
    Command.RESUME: b"0;d41d8cd98f00b204e9800998ecf8427e\n",
    Command.DELETE: md5(b"hello").hexdigest().encode(),
    Command.LIST_DAMAGED: b"No damaged files known at the moment\nDONE\n",
}
"""A part of its answer, where it is allowed."""


def request(command: Command, id: str) -> bytes:
    text = REQUESTS[command]
    return text % id.encode() if b"%s" in text else text


class RightsCase(SynchronousTestCase):
    """A depot, and connections of whoever comes."""

    def depot_of(self, *rights: Right, all: bool = True) -> Depot:
        """A depot with a user, C{one}, who has these rights; C{root} has all."""
        return Depot(self, users=[user("one", rights, all=all), user("root")])

    def visit(self, depot: Depot, name: str = "one") -> Session:
        """A connection of a user."""
        session = depot.connect(peer("127.0.0.1"))
        welcome = session.send(f"LOGIN {name};{PASSWORD}\n".encode())
        self.assertEqual(welcome, f"Welcome {name}\n".encode())
        return session

    def store(self, session: Session, content: bytes, name: str = "a") -> str:
        session.send(f"UPLOAD {name};{len(content)}\n".encode() + content)
        return id_of(content)


class RightsTests(RightsCase):
    """Each command, and the right that it needs."""

    def test_needed(self) -> None:
        """Every command that touches a file needs a right; LOGIN, HELP and QUIT need none."""
        self.assertEqual({*RIGHTS, *FREE}, set(Command))
        self.assertEqual(set(RIGHTS), set(REQUESTS))
        self.assertEqual([right.value for right in Right], ["list", "read", "write", "delete"])

    def answer(self, command: Command, rights: Iterable[Right], prompted: bool) -> bytes:
        """What a user with these rights is answered, or all but the prompts of it."""
        depot = self.depot_of(*rights)
        for name in ("a", "b"):  # to delete, and to keep
            id = self.store(self.visit(depot, "root"), b"hello", name)
        session = self.visit(depot)
        line, _, payload = request(command, id).partition(b"\n")
        if not prompted:
            answer = session.send(line + b"\n" + payload)
        else:
            word, _, argument = line.partition(b" ")
            answer = session.send(word + b"\n")
            if answer == DENIED:
                return answer
            self.assertTrue(answer.startswith(b"Please send "), answer)
            answer = session.send(argument + b"\n", payload)
        if answer == DENIED:  # nothing of the refused request is read as another one
            self.assertTrue(session.send(b"HELP\n").startswith(b"LIST_FILES"))
        return answer

    def test_each(self) -> None:
        """
        One right is enough for what needs it and for nothing else, and all others are not; whether
        the argument is on the line or asked for.
        """
        for command, needed in RIGHTS.items():
            for prompted in (False, True) if command.prompt else (False,):
                for right in Right:
                    with self.subTest(f"{command.name} with {right.value}, {prompted=}"):
                        answer = self.answer(command, [right], prompted)
                        if needed is right:
                            self.assertNotIn(b"ERROR", answer)
                            self.assertIn(ANSWERS[command], answer)
                        else:
                            self.assertEqual(answer, DENIED)
                with self.subTest(f"{command.name} without {needed.value}, {prompted=}"):
                    others = ALL_RIGHTS - {needed}
                    self.assertEqual(self.answer(command, others, prompted), DENIED)

    def test_free(self) -> None:
        """A user without any right may say who they are, ask for help and leave."""
        session = self.visit(self.depot_of())
        self.assertTrue(session.send(b"HELP\n").startswith(b"LIST_FILES"))
        self.assertEqual(session.send(f"LOGIN root;{PASSWORD}\n".encode()), b"Welcome root\n")
        self.assertEqual(self.visit(self.depot_of()).send(b"QUIT\n"), b"")

    def test_before_the_prompt(self) -> None:
        """Who may not is told before they are asked for anything."""
        depot = self.depot_of()
        for command in RIGHTS:
            session = self.visit(depot)
            self.assertEqual(session.send(command.spellings[0].encode() + b"\n"), DENIED)
            self.assertIs(session.protocol.state, State.COMMAND)

    def test_strangers(self) -> None:
        """Strangers have the rights that are given them, and are asked to log in for others."""
        for right in Right:
            anonymous = Identity(rights=frozenset([right]), view=View(all=False))
            depot = Depot(self, users=[], anonymous=anonymous)
            for command, needed in RIGHTS.items():
                with self.subTest(f"{right.value}, {command.name}"):
                    answer = depot.connect().send(request(command, ABSENT))
                    self.assertEqual(answer == STRANGE, needed is not right)

    def test_payload(self) -> None:
        """The payload of a refused one-line upload is no command."""
        session = self.visit(self.depot_of())
        answer = session.send(b"UPLOAD a;5\nQUIT\nUPLOAD b;0\nHELP\n")
        self.assertTrue(answer.startswith(DENIED + DENIED + b"LIST_FILES"))
        self.assertEqual(session.send(b"UPLOAD a;%d\n" % (DISCARD_LIMIT + 1)), closes(DENIED))
        self.assertIs(session.protocol.state, State.CLOSING)
        session = self.visit(self.depot_of())
        self.assertEqual(session.send(b"UPLOAD a\nHELP\n"), closes(DENIED))
        self.assertIs(session.protocol.state, State.CLOSING)

    def test_details_sent_at_once(self) -> None:
        """Details that come unasked behind a refused UPLOAD or RESUME are no command."""
        for command in (b"UPLOAD\n", b"RESUME\n", b"RESUME b;2;t\n"):
            session = self.visit(self.depot_of())
            self.assertEqual(session.send(command + b"DELETE x;5\n"), closes(DENIED))
            self.assertIs(session.protocol.state, State.CLOSING)

    def test_pipelined(self) -> None:
        """Refusals come in the order of the requests, between answers."""
        depot = self.depot_of(Right.WRITE)
        session = self.visit(depot)
        id = id_of(b"hi").encode()
        answer = session.send(b"UPLOAD a;2\nhiDOWNLOAD %s\nDOWNLOAD %s\nUPLOAD b;2\nhi" % (id, id))
        self.assertEqual(answer, id + b"\n" + DENIED * 2 + id + b"\n")


class OwnTests(RightsCase):
    """Who sees their own files only."""

    def setUp(self) -> None:
        self.depot = self.depot_of(*ALL_RIGHTS, all=False)
        self.mine = self.visit(self.depot)
        self.theirs = self.visit(self.depot, "root")

    def both(self, *requests: str) -> None:
        """What is asked of another's file is answered as of one that is not there."""
        for content in (b"theirs", LARGE + b"theirs"):
            id = self.store(self.theirs, content, "their name")
            for text in requests:
                self.mine.send(b"HELP\n")  # or there were too many errors in a row
                with self.subTest(text, size=len(content)):
                    absent = self.mine.send((text % ABSENT).encode() + b"\n")
                    self.assertEqual(absent, NO_SUCH_FILE)
                    self.assertEqual(self.mine.send((text % id).encode() + b"\n"), absent)

    def test_no_such_file(self) -> None:
        """Whatever the command, and its form."""
        self.both(
            *("STAT %s", "VERIFY %s", "DOWNLOAD %s", "DOWNLOAD %s;1", "DOWNLOAD %s;1;2"),
            *("DOWNLOAD %s;99999999", "DELETE %s", "DELETE %s;their name", "DELETE %s;a"),
        )
        self.assertEqual(
            self.mine.send(b"LIST_FILES\n"), b"No files available at the moment\nDONE\n"
        )
        for content in (b"theirs", LARGE + b"theirs"):
            answer = self.theirs.send(f"VERIFY {id_of(content)}\n".encode())
            self.assertEqual(answer, f"{id_of(content)}\n".encode())

    def test_prompted(self) -> None:
        """At the prompt as well."""
        id = self.store(self.theirs, b"theirs")
        for command in (b"STAT", b"VERIFY", b"DOWNLOAD", b"DELETE"):
            for argument in (id, ABSENT):
                self.mine.send(command + b"\n")
                self.assertEqual(self.mine.send(argument.encode() + b"\n"), NO_SUCH_FILE)

    def test_damaged(self) -> None:
        """That another's file is damaged is not told either."""
        for content in (b"theirs", LARGE + b"theirs"):
            id = self.store(self.theirs, content)
            overwrite(self.depot.root, id, bytes(len(content)))
            damaged = self.theirs.send(f"VERIFY {id}\n".encode())
            self.assertTrue(damaged.startswith(b"ERROR corrupt "))
        self.both("STAT %s", "VERIFY %s", "DOWNLOAD %s")

    def test_known_content(self) -> None:
        """Who knows a hash is not told that another has the content, nor gets at it."""
        for content in (b"theirs", LARGE + b"theirs"):
            self.store(self.theirs, content)
            digest = sha256(content).hexdigest()
            ask = f"RESUME x;{len(content)};sha256:{digest}\n".encode()
            session = self.visit(self.depot)
            self.assertEqual(session.send(ask), NOTHING)
            size = str(len(content)).encode()
            self.assertTrue(session.send(size + b"\n").startswith(b"ERROR bad-range "))
            self.assertEqual(session.send(b"DOWNLOAD %s\n" % id_of(content).encode()), NO_SUCH_FILE)
            # who has it may store it, and has it then
            session.send(ask, b"0\n", content)
            self.assertEqual(session.send(ask).split(b";")[0], size)

    def test_times(self) -> None:
        """When another stored or verified the same content is not told."""
        now = [1e9]
        store = make_store(self, now=lambda: now[0])
        users = [user("one", all=False), user("two", all=False), user("root")]
        depot = Depot.over(self, store, users)
        mine, theirs, root = (self.visit(depot, name) for name in ("one", "two", "root"))
        for content in (b"ours", LARGE):
            now[0] = 1e9
            id = self.store(theirs, content, "theirs")
            now[0] += 10
            self.store(mine, content, "mine")
            now[0] += 10
            self.assertEqual(theirs.send(f"VERIFY {id}\n".encode()), f"{id}\n".encode())
            for session, stored, verified in (
                (mine, 10, 10),
                (theirs, 0, 0),
                (root, 0, 20),
            ):
                times = (1e9 + stored, 1e9 + verified)
                expected = b"stored %s\nverified %s\nDONE\n" % tuple(map(format_time, times))
                answer = session.send(f"STAT {id}\n".encode())
                self.assertTrue(answer.endswith(expected), answer)

    def test_both_have_it(self) -> None:
        """Each sees and deletes their own name of a content that both have stored."""
        for content in (b"ours", LARGE):
            id = self.store(self.mine, content, "mine")
            self.store(self.theirs, content, "theirs")
            listed = f"{id};mine;{len(content)}\n".encode()
            self.assertIn(listed, self.mine.send(b"LIST_FILES\n"))
            answer = self.mine.send(f"STAT {id}\n".encode())
            self.assertTrue(answer.startswith(listed + b"sha256 "), answer)
            got = self.mine.send(f"DOWNLOAD {id}\n".encode())
            self.assertEqual(got, listed + content)
            self.assertEqual(self.mine.send(f"DELETE {id};theirs\n".encode()), NO_SUCH_FILE)
            self.assertEqual(self.mine.send(f"DELETE {id}\n".encode()), f"{id}\n".encode())
            self.assertEqual(self.mine.send(f"DOWNLOAD {id}\n".encode()), NO_SUCH_FILE)
            self.assertIn(b";theirs;", self.theirs.send(f"STAT {id}\n".encode()))

    def test_tokens(self) -> None:
        """A token is its owner's: another's of the same word is another upload, at once as well."""
        size = len(LARGE)
        ask = f"RESUME a;{size};t\n".encode()
        first, second = self.mine, self.theirs
        first.send(ask, b"0\n", LARGE[:100])
        self.assertEqual(second.send(ask), NOTHING)
        self.assertEqual(sorted(self.depot.core.tokens), [("one", "t"), ("root", "t")])
        second.send(b"0\n", LARGE[:50])
        first.lose()
        second.lose()
        self.assertEqual(self.depot.core.tokens, {})
        self.assertEqual(self.visit(self.depot).send(ask).split(b";")[0], b"100")
        self.assertEqual(self.visit(self.depot, "root").send(ask).split(b";")[0], b"50")

    def test_strangers(self) -> None:
        """Strangers see what strangers stored, unless they see everything."""
        for all in (False, True):
            depot = Depot(self, users=[user("one")], anonymous=Identity(view=View(all=all)))
            self.store(self.visit(depot), b"hello", "user's")
            stranger = depot.connect()
            self.store(stranger, b"world", "stranger's")
            listing = stranger.send(b"LIST_FILES\n")
            self.assertIn(b"stranger's", listing)
            self.assertEqual(b"user's" in listing, all)

    def test_switched(self) -> None:
        """What is stored is its user's, on one connection as well."""
        login = f"LOGIN root;{PASSWORD}\n".encode()
        self.mine.send(b"UPLOAD mine;2\nhi" + login + b"UPLOAD theirs;2\nhi")
        self.assertNotIn(b"theirs", self.visit(self.depot).send(b"LIST_FILES\n"))


class WriteOnlyTests(RightsCase):
    """Who may write, but not read."""

    def test_known_content(self) -> None:
        """They are never told that a content is there, but go on with what they have sent."""
        for all in (False, True):
            for content in (b"theirs", LARGE):
                with self.subTest(all=all, size=len(content)):
                    depot = self.depot_of(Right.WRITE, all=all)
                    self.store(self.visit(depot, "root"), content)
                    digest = sha256(content).hexdigest()
                    ask = f"RESUME b;{len(content)};sha256:{digest}\n".encode()
                    session = self.visit(depot)
                    self.assertEqual(session.send(ask), NOTHING)
                    session.send(b"0\n", content[:3])
                    session.lose()
                    session = self.visit(depot)
                    held = f"3;{id_of(content[:3])}\n".encode()
                    self.assertEqual(session.send(ask), held)
                    answer = session.send(b"3\n", content[3:])
                    self.assertTrue(answer.endswith(f"{id_of(content)}\n".encode()))
