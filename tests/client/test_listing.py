"""Listings that are told entry by entry, and HELP: the client's requests for them."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from tests.client.test_protocol import Case, Pair, Script, entry_of, line_of
from tests.client.test_retry import RetryCase, ScriptedEndpoint
from xferproto.model.entry import Entry
from xferproto.model.errors import BadCommand, ConnectionCut, Denied, UnexpectedReply

ENTRIES = [entry_of(name.encode(), name) for name in ("a", "b", "c")]
LINES = [line_of(entry) for entry in ENTRIES]


class EachFileTests(Case):
    """A listing on one connection."""

    def test_server(self) -> None:
        """Against the real server, each entry is told in order."""
        pair = Pair(self)
        for name in ("b", "a", "x"):
            pair.client.upload(name.encode(), name)
            pair.flush()
        told: list[Entry] = []
        listing = pair.client.each_file("", told.append)
        pair.flush()
        self.assertIsNone(self.successResultOf(listing))
        self.assertEqual([entry.name for entry in told], ["a", "b", "x"])

    def test_as_they_come(self) -> None:
        """An entry is told when its line is there, not when the listing ends."""
        script = Script()
        told: list[Entry] = []
        listing = script.client.each_file("", told.append)
        self.assertEqual(script.asked(), b"LIST_FILES\n")
        script.says(LINES[0], LINES[1][:10])
        self.assertEqual(told, ENTRIES[:1])
        script.says(LINES[1][10:])
        self.assertEqual(told, ENTRIES[:2])
        self.assertNoResult(listing)
        script.says(b"DONE\n")
        self.successResultOf(listing)
        self.assert_goes_on(script)

    def test_empty(self) -> None:
        """Where there are none, none is told."""
        for answer in (b"DONE\n", b"No files available at the moment\nDONE\n"):
            script = Script()
            listing = script.client.each_file("x", self.fail)
            self.assertEqual(script.asked(), b"LIST_FILES x\n")
            script.says(answer)
            self.successResultOf(listing)

    def test_raised(self) -> None:
        """What the caller raises for an entry is what the request fails with; no more is told."""
        for number in range(3):
            script = Script()
            told: list[Entry] = []

            def tell(entry: Entry, told: list[Entry] = told, number: int = number) -> None:
                if len(told) == number:
                    raise BrokenPipeError("nobody reads on")
                told.append(entry)

            listing = script.client.each_file("", tell)
            script.says(b"".join(LINES))
            if number:  # the connection's end is what tells it
                script.lose()
            self.failureResultOf(listing, BrokenPipeError)
            self.assertEqual(told, ENTRIES[:number])
            self.assertTrue(script.transport.aborted)

    def test_nonsense(self) -> None:
        """What is no entry is told as that."""
        script = Script()
        told: list[Entry] = []
        listing = script.client.each_file("", told.append)
        script.says(LINES[0], b"nonsense\n")
        script.lose()
        self.failureResultOf(listing, UnexpectedReply)
        self.assertEqual(told, ENTRIES[:1])

    def test_refused(self) -> None:
        """A refusal is raised, and the connection goes on."""
        script = Script()
        listing = script.client.each_file("", self.fail)
        script.says(b"ERROR denied No.\n")
        self.failureResultOf(listing, Denied)
        self.assert_goes_on(script)


class EachDamagedTests(Case):
    """The listing of what is damaged."""

    def test_server(self) -> None:
        """Against the real server, what it has found is told, in order."""
        pair = Pair(self)
        for name in ("b", "a"):
            pair.client.upload(b"x", name)
            pair.flush()
        entry = entry_of(b"x", "a")
        told: list[Entry] = []
        for expected in ([], [entry, entry_of(b"x", "b")]):
            every = pair.client.list_damaged()
            some = pair.client.each_damaged("a", told.append)
            pair.flush()
            self.assertEqual(self.successResultOf(every), expected)
            self.assertIsNone(self.successResultOf(some))
            self.assertEqual(told, expected[:1])
            self.successResultOf(pair.depot.store.maintenance.checked(entry.id, None))
        others = pair.client.list_files()
        pair.flush()
        self.assertEqual(self.successResultOf(others), [])

    def test_as_they_come(self) -> None:
        """It is asked for and read like the other listing."""
        script = Script()
        told: list[Entry] = []
        listing = script.client.each_damaged("x", told.append)
        self.assertEqual(script.asked(), b"LIST_DAMAGED x\n")
        script.says(LINES[0], LINES[1][:10])
        self.assertEqual(told, ENTRIES[:1])
        script.says(LINES[1][10:] + b"DONE\n")
        self.successResultOf(listing)
        self.assert_goes_on(script)

    def test_older_server(self) -> None:
        """One that does not know the request is told as that, and goes on."""
        for number in range(2):
            script = Script()
            client = script.client
            listing = client.list_damaged() if number else client.each_damaged("", self.fail)
            script.says(b"ERROR bad-command This is not a command.\n")
            self.failureResultOf(listing, BadCommand)
            self.assert_goes_on(script)


class TriedAgainTests(RetryCase):
    """A listing on several connections."""

    def setUp(self) -> None:
        super().setUp()
        self.endpoint = ScriptedEndpoint()
        self.told: list[Entry] = []

    def lose(self) -> None:
        """The newest connection is gone."""
        self.endpoint.clients[-1][0].connectionLost(Failure(ConnectionLost()))

    def test_goes_on(self) -> None:
        """Cut off and asked for again, each entry is told once."""
        listing = self.client(self.endpoint).each_file("", self.told.append)
        self.endpoint.says(LINES[0] + LINES[1])
        self.lose()
        self.assertNoResult(listing)
        self.reactor.advance(10)
        self.assertEqual(self.endpoint.asked(), b"LIST_FILES\n")
        self.endpoint.says(b"".join(LINES) + b"DONE\n")
        self.successResultOf(listing)
        self.assertEqual(self.told, ENTRIES)

    def test_damaged_goes_on(self) -> None:
        """So it is with what is damaged."""
        client = self.client(self.endpoint)
        listing = client.each_damaged("", self.told.append)
        self.endpoint.says(LINES[0] + LINES[1])
        self.lose()
        self.reactor.advance(10)
        self.assertEqual(self.endpoint.asked(), b"LIST_DAMAGED\n")
        self.endpoint.says(b"".join(LINES) + b"DONE\n")
        self.successResultOf(listing)
        self.assertEqual(self.told, ENTRIES)
        whole = client.list_damaged("x")
        self.assertEqual(self.endpoint.asked(), b"LIST_DAMAGED x\n")
        self.endpoint.says(LINES[0] + b"DONE\n")
        self.assertEqual(self.successResultOf(whole), ENTRIES[:1])

    def test_changed_meanwhile(self) -> None:
        """What was told and is gone is passed over; one name's contents go by their ids."""
        two = sorted((entry_of(b"1", "b"), entry_of(b"2", "b")), key=lambda entry: entry.id)
        listing = self.client(self.endpoint).each_file("", self.told.append)
        self.endpoint.says(LINES[0] + line_of(two[0]))
        self.lose()
        self.reactor.advance(10)
        self.endpoint.says(b"".join(map(line_of, (*two, ENTRIES[2]))) + b"DONE\n")
        self.successResultOf(listing)
        self.assertEqual(self.told, [ENTRIES[0], *two, ENTRIES[2]])

    def test_headway(self) -> None:
        """The tries count from the last entry that came."""
        listing = self.client(self.endpoint, tries=2).each_file("", self.told.append)
        for number in range(1, 4):
            self.endpoint.says(b"".join(LINES[:number]))
            self.lose()
            self.reactor.advance(10)
        self.assertNoResult(listing)
        self.endpoint.says(b"".join(LINES) + b"DONE\n")
        self.successResultOf(listing)
        self.assertEqual(self.told, ENTRIES)

    def test_limit(self) -> None:
        """It is not asked for without end."""
        listing = self.client(self.endpoint, tries=2).each_file("", self.told.append)
        self.lose()
        self.reactor.advance(10)
        self.lose()
        self.failureResultOf(listing, ConnectionCut)


class HelpTests(Case):
    """The request that needs no right."""

    def test_server(self) -> None:
        """The real server has a line for each command."""
        pair = Pair(self)
        asking = pair.client.help()
        pair.flush()
        lines = self.successResultOf(asking)
        self.assertTrue(any(line.startswith("LIST_FILES") for line in lines), lines)

    def test_nonsense(self) -> None:
        """What speaks something else is not waited for."""
        for line in (b"220 mail.example ESMTP\r\n", b"HTTP/1.1 400 Bad\r\n", b"\n", b"\xff\n"):
            script = Script()
            asking = script.client.help()
            script.says(line)
            self.failureResultOf(asking, UnexpectedReply)
            self.assertTrue(script.transport.aborted)

    def test_refused(self) -> None:
        """A server that has none is understood."""
        script = Script()
        asking = script.client.help()
        self.assertEqual(script.asked(), b"HELP\n")
        script.says(b"ERROR denied No.\n")
        self.failureResultOf(asking, Denied)
        self.assert_goes_on(script)
