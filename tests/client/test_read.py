"""Contents that the client reads into memory."""

from __future__ import annotations

from hashlib import md5

from tests.client.test_protocol import HELLO, LARGE, Case, Pair, Script, line_of
from tests.client.test_retry import DepotEndpoint, RetryCase
from xferproto.model.errors import (
    BadId,
    ConnectionCut,
    HashMismatch,
    NoSuchFile,
    TooLarge,
    UnexpectedReply,
)


class ReadTests(Case):
    """One connection."""

    def test_read(self) -> None:
        """Whatever was stored comes as it was, and progress is told to the end."""
        for content in (b"", b"x", b"LIST_FILES\nQUIT\n", LARGE):
            pair = Pair(self)
            pair.client.upload(content, "a")
            told: list[tuple[int, int]] = []
            request = pair.client.read(
                md5(content).hexdigest().upper(),
                len(content),
                lambda done, total, told=told: told.append((done, total)),  # type: ignore[misc]
            )
            pair.flush()
            self.assertEqual(self.successResultOf(request), content)
            self.assertEqual(told[-1], (len(content), len(content)))

    def test_refused(self) -> None:
        """What is not there, or no id, is refused, and the connection goes on."""
        pair = Pair(self)
        requests = (pair.client.read(HELLO.id, 5), pair.client.read("x", 5))
        listing = pair.client.list_files()
        pair.flush()
        self.failureResultOf(requests[0], NoSuchFile)
        self.failureResultOf(requests[1], BadId)
        self.assertEqual(self.successResultOf(listing), [])

    def test_too_large(self) -> None:
        """What is larger is not taken: the connection is closed at its first line."""
        script = Script()
        request = script.client.read(HELLO.id, 4)
        script.says(line_of(HELLO))
        error = self.failureResultOf(request, TooLarge).value
        for word in ("a.txt", "5 bytes", "at most 4"):
            self.assertIn(word, str(error))
        self.assert_cut(script)

    def test_mismatch(self) -> None:
        """Other bytes are a mismatch, and the connection goes on."""
        script = Script()
        request = script.client.read(HELLO.id, 5)
        script.says(line_of(HELLO), b"hel", b"lp")
        self.failureResultOf(request, HashMismatch)
        self.assert_goes_on(script)

    def test_other_content(self) -> None:
        """An answer about another content is none."""
        script = Script()
        request = script.client.read("0" * 32, 5)
        script.says(line_of(HELLO))
        self.failureResultOf(request, UnexpectedReply)
        self.assert_cut(script)

    def test_cut(self) -> None:
        """Half a content is not a content."""
        script = Script()
        request = script.client.read(HELLO.id, 5)
        script.says(line_of(HELLO), b"hel")
        script.lose()
        self.failureResultOf(request, ConnectionCut)


class AgainTests(RetryCase):
    """Connections that fail."""

    def test_again(self) -> None:
        """A content is read again from its beginning."""
        endpoint = DepotEndpoint(Pair(self).depot)
        client = self.client(endpoint)
        stored = client.upload(LARGE, "large")
        endpoint.wires[-1].pump.flush()
        self.successResultOf(stored)
        request = client.read(md5(LARGE).hexdigest(), len(LARGE))
        wire = endpoint.wires[-1]
        wire.to_server(wire.up())
        wire.to_client(wire.down()[:1000])
        wire.cut()
        self.assertNoResult(request)
        self.reactor.advance(10)
        endpoint.wires[-1].pump.flush()
        self.assertEqual(self.successResultOf(request), LARGE)
        self.assertEqual(len(endpoint.wires), 2)
        self.assertEqual(len(self.said), 1)

    def test_too_large(self) -> None:
        """What is too large is not tried again; the next request connects anew."""
        endpoint = DepotEndpoint(Pair(self).depot)
        client = self.client(endpoint)
        stored = client.upload(LARGE, "large")
        endpoint.wires[-1].pump.flush()
        request = client.read(self.successResultOf(stored).id, len(LARGE) - 1)
        endpoint.wires[-1].pump.flush()
        self.failureResultOf(request, TooLarge)
        listing = client.list_files()
        endpoint.wires[-1].pump.flush()
        self.assertEqual(len(self.successResultOf(listing)), 1)
        self.assertEqual(len(endpoint.wires), 2)
