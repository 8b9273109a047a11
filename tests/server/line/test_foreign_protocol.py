"""Peers that speak another protocol, and carry commands of ours in what they send."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import md5

from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot, Session
from tests.support.executors import GatedExecutor
from tests.support.visitors import PASSWORD, peer, user
from xferproto.model.errors import BadCommand, OtherProtocol
from xferproto.model.identity import ANYONE, NOBODY, Identity, Right
from xferproto.wire import codec
from xferproto.wire.states import State

HELLO = md5(b"hello").hexdigest().encode()
ENTRY = b"%s;a;5\nDONE\n" % HELLO
PROMPT = b"Please send a file ID\n"

CLOSED = codec.format_error(OtherProtocol()) + b"\n"
"""What a peer of another protocol is told, and nothing after it."""

REFUSED = codec.format_error(BadCommand()) + b"\n"

BROWSER = (
    b"Host: 127.0.0.1:9000\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n"
    b"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: 40\r\nOrigin: null\r\n\r\n"
)

HTTP = (
    b"POST / HTTP/1.1",
    b"GET /?q=1 HTTP/1.0",
    b"FOO / HTTP/1.1",
    b"get /a b HTTP/1.1",
    b"POST / http/1.1",
    b"POST  /\t HTTP/1.1  ",
    b"  POST / HTTP/1.1",
    b"POST http://depot.example/ HTTP/1.1",
    b"CONNECT 127.0.0.1:9000 HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"GET /",
    b"OPTIONS rtsp://127.0.0.1/ RTSP/1.0",
    b"INVITE sip:a@127.0.0.1 SIP/2.0",
    b"PROCESS SPAMC/1.5",
    b"Host: 127.0.0.1:9000",
    b"host:127.0.0.1",
    b"HOST : a",
    b" Host: a",
)

OURS_AND_HTTP = (
    b"DELETE / HTTP/1.1",
    b"delete /%s HTTP/1.1" % HELLO,
    b"DELETE http://127.0.0.1:9000/ HTTP/1.1",
    b"DELETE  / HTTP/1.1",
    b"HELP / HTTP/1.1",
    b"STAT / HTTP/2",
    b"LIST_FILES / HTTP/1.1",
    b"LOGIN /;a HTTP/1.1",
    b"UPLOAD / HTTP/1.1",
    b"RESUME / HTTP/1.1",
    b"DELETE %s HTTP/1.1" % HELLO,
    b"DOWNLOAD a HTTP/1.1",
    b"quit a http/1.0",
)
"""Request lines whose methods are commands of ours."""

TEXT = (
    b"SSH-2.0-OpenSSH_9.6",
    b"EHLO mail.example",
    b"helo a",
    b"MAIL FROM:<a@b.example>",
    b"RCPT TO: <a@b.example>",
    b"USER anonymous",
    b"PASS guest",
    b"AUTH TLS",
    b"NICK a",
    b"CAP LS 302",
    b"a001 LOGIN a b",
    b"MODE READER",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2",
    b"PROXY UNKNOWN",
    b"*3",
    b"$6",
    b"set key 0 0 41",
    b"ms key 41",
    b"put 0 0 60 41",
    b"STOMP",
    b"accept-version:1.2",
    b'CONNECT {"verbose":false}',
    b"nINSTREAM",
    b"<34>Oct 11 22:14:15 host su: failed",
    b"83 <34>1 - - - - - -",
    b"<?xml version='1.0'?>",
    b"<stream:stream>",
    b"@RSYNCD: 31.0",
    b"CLIENT libcurl 8.5",
    b"%!PS-Adobe-3.0",
    b"X-Anything: a",
)

BINARY = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32)).replace(b"\n", b"\0"),
    b"\x16\x03\x01",  # whose length has an LF in it
    b"\x00\x00\x00\x54\x00\x03\x00\x00user\x00postgres\x00",
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",  # PostgreSQL's wish for TLS
    b"\x01\x01\x00\x01\x00\x08\x00\x00",  # FastCGI, whose usual port is ours
    b"\x00\x03\x00\x58\x21\x12\xa4\x42",  # STUN, which a page can have sent
    b"\x05\x01\x00",  # SOCKS
    b"\x02lp",  # LPD
    b"0032git-upload-pack /a\x00host=b\x00",
    b"70:CONTENT_LENGTH\x0041\x00",  # SCGI
    b"AMQP\x00\x00\x09\x01",
    b"\x10\x0c\x00\x04MQTT",
    b"a\rb",
)

TYPED = (
    b"",
    b" HELP",
    b"LSIT_FILES docs/2.0",
    b"LIST",
    b"ls",
    b"get a.txt",
    b"put a.txt",
    b"upload: a;5",
    b"help?",
    b"?",
    b"--help",
    b"5d41402abc4b2a76b9719d911017c592",
    b"LOGN alice;secret",
    b"\x1b[AHELP",
    b"HELLP\x08",
    b"\tHELP",
    "ÄÖÜ".encode(),
    b"\xc4\xd6\xdc",
    b"\0\xff",
)
"""What people type who know better."""


def attack(line: bytes) -> bytes:
    """A line, and a command of ours behind it."""
    return line + b"\r\n" + BROWSER + b"DELETE %s\n" % HELLO


class ForeignCase(SynchronousTestCase):
    """A depot that holds C{hello}."""

    def setUp(self) -> None:
        self.depot = Depot(self)
        self.depot.connect().send(b"UPLOAD a;5\nhello")

    def assert_nothing_run(self, session: Session) -> None:
        """The connection is over, and what came, or still comes, has deleted nothing."""
        self.assertIs(session.protocol.state, State.CLOSING)
        self.assertTrue(session.transport.half_closed or not session.transport.connected)
        self.assertEqual(session.send(b"\nDELETE %s\n" % HELLO), b"")
        self.assertEqual(self.depot.connect().send(b"LIST_FILES\n"), ENTRY)

    def assert_ends(self, lines: Sequence[bytes], answer: bytes = CLOSED) -> None:
        """Each of the lines ends its connection with one error, in whatever pieces it comes."""
        for line in lines:
            whole = attack(line)
            at_end = len(line) + 2
            for chunks in (
                [whole],
                [whole[:at_end], whole[at_end:]],
                [whole[at : at + 1] for at in range(len(whole))],
                [line + b"\nDELETE %s\n" % HELLO],
            ):
                with self.subTest(line, chunks=len(chunks)):
                    session = self.depot.connect()
                    self.assertEqual(session.send(*chunks), answer)
                    self.assert_nothing_run(session)


class FirstLineTests(ForeignCase):
    """What other protocols say first."""

    def test_http(self) -> None:
        """A request of HTTP, or of its kind, ends the connection; nothing behind it is run."""
        self.assert_ends(HTTP)

    def test_http_with_our_commands(self) -> None:
        """So does one whose method is a command of ours."""
        self.assert_ends(OURS_AND_HTTP)

    def test_text(self) -> None:
        """So does what others that are made of lines begin with."""
        self.assert_ends(TEXT)

    def test_binary(self) -> None:
        """So does what is no text; a binary PROXY header holds a QUIT for those who have none."""
        self.assert_ends(BINARY)
        session = self.depot.connect()
        proxy = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + b"DELETE %s\n" % HELLO
        self.assertEqual(session.send(proxy), REFUSED * 3)
        self.assert_nothing_run(session)

    def test_typed(self) -> None:
        """What is only typed wrong is refused, and the next line is a command."""
        for line in TYPED:
            with self.subTest(line):
                session = self.depot.connect()
                self.assertEqual(session.send(line + b"\nLIST_FILES\n"), REFUSED + ENTRY)

    def test_ours(self) -> None:
        """A request of ours is one, however much it looks like HTTP."""
        session = self.depot.connect()
        for name in (b"a HTTP/1.1", b"Host: b", b"GET / HTTP/1.1.txt", b"* HTTP/1.1", b"USER a"):
            with self.subTest(name):
                self.assertEqual(session.send(b"UPLOAD %s;2\nhi" % name)[:4], b"49f6")
                listed = session.send(b"LIST_FILES %s\n" % name)
                self.assertTrue(listed.endswith(b";%s;2\nDONE\n" % name), listed)
                id = listed[:32]
                self.assertEqual(session.send(b"DELETE %s;%s\n" % (id, name)), id + b"\n")
                session.send(b"UPLOAD\n")
                self.assertEqual(session.send(b"%s;2\n" % name)[:5], b"Ready")
                self.assertEqual(session.send(b"hi"), id + b"\n")


class PlaceTests(ForeignCase):
    """Wherever such a line comes."""

    def test_argument(self) -> None:
        """As an argument that was asked for, of whatever command, where it is no good one."""
        prompts = (b"UPLOAD", b"DOWNLOAD", b"STAT", b"RESUME", b"VERIFY", b"DELETE")
        for command in prompts:
            for line in (b"POST / HTTP/1.1", b"Host: a", b"EHLO a", b"\x16\x03\x01\0\0\0", b"*3"):
                with self.subTest(command, line=line):
                    session = self.depot.connect()
                    session.send(command + b"\n")
                    self.assertEqual(session.send(line + b"\r\n"), CLOSED)
                    self.assert_nothing_run(session)

    def test_offset(self) -> None:
        """As the offset of a RESUME; what is held stays."""
        session = self.depot.connect()
        session.send(b"RESUME b;5;t\n")
        session.send(b"0\nhel")
        session.lose()
        session = self.depot.connect()
        self.assertTrue(session.send(b"RESUME b;5;t\n").startswith(b"3;"))
        self.assertEqual(session.send(b"POST / HTTP/1.1\n"), CLOSED)
        self.assert_nothing_run(session)
        self.assertTrue(self.depot.connect().send(b"RESUME b;5;t\n").startswith(b"3;"))

    def test_good_argument(self) -> None:
        """A good argument is one, whatever it looks like, also when it is refused."""
        depot = Depot(self, max_file_size=5)
        session = depot.connect()
        session.send(b"UPLOAD\n")
        answer = session.send(b"Host: a;6\n")
        self.assertTrue(answer.startswith(b"ERROR too-large "), answer)
        self.assertIs(session.protocol.state, State.COMMAND)
        session.send(b"UPLOAD\n")
        self.assertEqual(session.send(b"Host: a;5\n"), b"Ready to receive the file\n")
        answer = session.send(b"hel") + session.half_close()
        self.assertTrue(answer.startswith(b"ERROR bad-details The input ended "), answer)

    def test_mistaken_argument(self) -> None:
        """An argument that is only wrong is refused as ever."""
        session = self.depot.connect()
        for line in (b"Re: a letter", b"a\0b;5", b"\xff\xfe;5", b"../a;5", b"hello.txt"):
            with self.subTest(line):
                session.send(b"UPLOAD\n")
                answer = session.send(line + b"\n")
                self.assertTrue(answer.startswith((b"ERROR bad-details ", b"ERROR bad-name ")))
                self.assertEqual(session.send(b"LIST_FILES\n"), ENTRY)

    def test_behind_requests(self) -> None:
        """Behind pipelined requests, which are answered, and nothing else is."""
        database = GatedExecutor()
        self.depot = depot = Depot(self, database=database)
        session = depot.connect()
        for line in (b"POST / HTTP/1.1", b"DELETE / HTTP/1.1", b"DELETE a HTTP/1.1"):
            with self.subTest(line):
                session = depot.connect()
                database.open = False
                uploads = b"UPLOAD a;5\nhello" * 2
                self.assertEqual(session.send(uploads + attack(line)), b"")
                self.assertEqual(session.send(b"DELETE %s\n" % HELLO), b"")
                database.open = True
                database.run_all()
                self.assertEqual(session.answer(), (HELLO + b"\n") * 2 + CLOSED)
                self.assert_nothing_run(session)

    def test_behind_login(self) -> None:
        """Behind a LOGIN, and by one who may do nothing."""
        self.depot = depot = Depot(self, users=[user("alice")], anonymous=ANYONE)
        depot.connect().send(b"UPLOAD a;5\nhello")
        session = depot.connect(peer("127.0.0.1"))
        answer = session.send(b"LOGIN alice;%s\n" % PASSWORD.encode() + attack(b"POST / HTTP/1.1"))
        self.assertEqual(answer, b"Welcome alice\n" + CLOSED)
        self.assert_nothing_run(session)
        strict = Depot(self, users=[user("alice")], anonymous=NOBODY)
        for line in (b"POST / HTTP/1.1", b"DELETE / HTTP/1.1"):
            session = strict.connect(peer("127.0.0.1"))
            login = b"LOGIN alice;%s\n" % PASSWORD.encode()
            self.assertEqual(session.send(line + b"\r\n" + login), CLOSED)

    def test_denied(self) -> None:
        """From one who may not do what the line asks for, and from one who could be read along."""
        stranger = Identity(rights=frozenset({Right.LIST, Right.WRITE}))
        lines = (b"DELETE a HTTP/1.1", b"DOWNLOAD a HTTP/1.1", b"VERIFY a HTTP/1.1")
        for address, more in (("127.0.0.1", ()), ("192.0.2.1", (b"LOGIN a HTTP/1.1",))):
            for line in (*lines, *more):
                with self.subTest(line):
                    depot = Depot(self, users=[user("alice")], anonymous=stranger)
                    session = depot.connect(peer(address))
                    self.assertEqual(session.send(line + b"\r\nUPLOAD a;5\nhello"), CLOSED)
                    listed = depot.connect().send(b"LIST_FILES\n")
                    self.assertEqual(listed, codec.NO_FILES + b"\nDONE\n")
        session = depot.connect(peer("192.0.2.1"))
        for line in (b"DELETE %s;a HTTP/1.1" % HELLO, b"LOGIN a;b HTTP/1.1"):  # good ones
            self.assertNotEqual(session.send(line + b"\n"), CLOSED)
            self.assertIs(session.protocol.state, State.COMMAND)

    def test_unfinished(self) -> None:
        """As an unfinished last line."""
        session = self.depot.connect()
        self.assertEqual(session.send(b"POST / HTTP/1.1"), b"")
        self.assertEqual(session.half_close(), CLOSED)
        self.assertFalse(session.transport.connected)

    def test_too_long(self) -> None:
        """A request for a URL of more than a line is a line too long, and ends as well."""
        for size in (4000, 4096, 5000, 100_000):
            whole = attack(b"GET /" + b"a" * size + b" HTTP/1.1")
            for chunks in ([whole], [whole[at : at + 1000] for at in range(0, len(whole), 1000)]):
                with self.subTest(size, chunks=len(chunks)):
                    session = self.depot.connect()
                    answer = session.send(*chunks)
                    self.assertEqual(answer.count(b"\n"), 1)
                    self.assertTrue(answer.startswith((CLOSED, b"ERROR line-too-long ")), answer)
                    self.assert_nothing_run(session)

    def test_payload(self) -> None:
        """In a payload it is payload, taken in or taken away."""
        session = self.depot.connect()
        body = attack(b"POST / HTTP/1.1")
        id = md5(body).hexdigest().encode()
        self.assertEqual(session.send(b"UPLOAD b;%d\n" % len(body) + body), id + b"\n")
        answer = session.send(b"UPLOAD ..;%d\n" % len(body) + body)
        self.assertTrue(answer.startswith(b"ERROR bad-name "), answer)
        self.assertEqual(answer.count(b"\n"), 1)
        self.assertIs(session.protocol.state, State.COMMAND)

    def test_slow_lines(self) -> None:
        """Long lines of blanks and of digits are looked at as fast as others."""
        for character in (b" ", b"1", b"\t", b"a ", b"set 1 ", b" HTTP/1"):
            session = self.depot.connect()
            line = (character * 4096)[:4000]
            self.assertEqual(session.send((line + b"x\n") * 5), REFUSED * 5)
