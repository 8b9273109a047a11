"""Text from the network, made safe to show."""

from __future__ import annotations

import ast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from xferproto.model.escape import printable, quoted

untimed = settings(deadline=None, derandomize=True)


class PrintableTests(SynchronousTestCase):
    """L{printable} and L{quoted}."""

    def test_table(self) -> None:
        """What prints stays; what breaks a line, hides or reorders text is written as an escape."""
        for text, shown in (
            ("", ""),
            ("a b/c;1.txt", "a b/c;1.txt"),
            ("a\nb\r\t", r"a\nb\r\t"),
            ("\x1b[2J\x00\x7f", r"\x1b[2J\x00\x7f"),
            ("\u0085\u009b", r"\x85\x9b"),
            ("\u2028\u2029", r"\u2028\u2029"),
            ("\u202eexe.txt", r"\u202eexe.txt"),
            ("\u2066\u2069\u200f", r"\u2066\u2069\u200f"),
            ("\u200b\ufeff", r"\u200b\ufeff"),
            ("\U000e0001", r"\U000e0001"),
            ('"a"', r"\"a\""),
            ("a\\nb", r"a\\nb"),
            ("Grüße, e\u0301, שלום, 🎉", "Grüße, e\u0301, שלום, 🎉"),
        ):
            with self.subTest(text):
                self.assertEqual(printable(text), shown)
                self.assertEqual(printable(text.encode()), shown)

    def test_no_utf_8(self) -> None:
        """A byte that is no UTF-8 shows as the code point that stands for it."""
        self.assertEqual(printable(b"a\xffb"), r"a\udcffb")

    @untimed
    @given(st.text() | st.binary())
    def test_always_prints(self, text: str | bytes) -> None:
        """Whatever comes, one printable line goes out."""
        self.assertTrue(printable(text).isprintable())
        self.assertEqual(quoted(text), f'"{printable(text)}"')

    @untimed
    @given(st.text())
    def test_nothing_is_lost(self, text: str) -> None:
        """What is shown, read as a Python literal, is the text again: no two look the same."""
        self.assertEqual(ast.literal_eval(quoted(text)), text)

    @untimed
    @given(st.binary())
    def test_no_byte_is_lost(self, data: bytes) -> None:
        """That holds for bytes too, of whatever encoding."""
        self.assertEqual(ast.literal_eval(quoted(data)).encode("utf-8", "surrogateescape"), data)
