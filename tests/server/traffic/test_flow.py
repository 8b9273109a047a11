"""Whether a connection reads: for no reason it does, for any it does not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from xferproto.server.traffic.flow import LINE_BUFFER, RAW_BUFFER, Flow, Hold


class Socket:
    """A transport that can be told how much to read at once."""

    bufferSize = 0


class FlowTests(SynchronousTestCase):
    """Reasons that come and go."""

    def setUp(self) -> None:
        self.calls: list[str] = []
        self.flow = Flow(lambda: self.calls.append("pause"), lambda: self.calls.append("resume"))

    def test_reasons(self) -> None:
        """The first reason pauses, the last one resumes; what is there already changes nothing."""
        for reason in (Hold.STATE, Hold.STATE, Hold.OUTPUT):
            self.flow.set(reason, True)
        self.assertTrue(self.flow.holds(Hold.OUTPUT))
        for reason in (Hold.STATE, Hold.UPLOAD):
            self.flow.set(reason, False)
        self.assertEqual(self.calls, ["pause"])
        self.assertTrue(self.flow.held)
        self.flow.set(Hold.OUTPUT, False)
        self.assertEqual(self.calls, ["pause", "resume"])
        self.assertFalse(self.flow.held)

    def test_open(self) -> None:
        """One that is opened reads on, and is held for no reason any more."""
        self.flow.set(Hold.STATE, True)
        self.flow.open()
        self.flow.set(Hold.OUTPUT, True)
        self.assertEqual(self.calls, ["pause", "resume"])
        self.assertFalse(self.flow.held)

    def test_lost(self) -> None:
        """Of a lost connection nothing is paused or resumed."""
        self.flow.set(Hold.STATE, True)
        self.flow.end()
        self.flow.set(Hold.STATE, False)
        self.flow.set(Hold.OUTPUT, True)
        self.assertEqual(self.calls, ["pause"])

    def test_again(self) -> None:
        """A reason that comes up while the reading resumes holds it again."""
        flow = Flow(lambda: self.calls.append("pause"), lambda: flow.set(Hold.UPLOAD, True))
        flow.set(Hold.STATE, True)
        flow.set(Hold.STATE, False)
        self.assertEqual(self.calls, ["pause", "pause"])
        self.assertTrue(flow.holds(Hold.UPLOAD))

    def test_size(self) -> None:
        """As much is read at once as is worth it, between two bounds and below the bandwidth's."""
        self.flow.expect(10**9)  # nothing to set it on
        for largest, sizes in (
            (None, (LINE_BUFFER, 300_000, RAW_BUFFER)),
            (4096, (4096, 4096, 4096)),
        ):
            socket = Socket()
            self.flow.regulate(socket, largest)
            for count, size in zip((0, 300_000, 10**9), sizes, strict=True):
                self.flow.expect(count)
                self.assertEqual(socket.bufferSize, size)
        self.flow.regulate(object(), None)
        self.flow.expect(0)
