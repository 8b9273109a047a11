"""Escape text from the network, so that it is safe to show in a log or on a terminal."""

from __future__ import annotations


def quoted(text: str | bytes) -> str:
    """Return C{text} as L{printable} does, in double quotes."""
    return f'"{printable(text)}"'


def printable(text: str | bytes) -> str:
    r"""
    Return C{text} on one line, with everything that does not print as an escape.

    Control characters, line separators and bidirectional marks become C{\n}, C{\x1b}, C{\u202e},
    a byte FF that is not UTF-8 C{\udcff}; letters and combining characters of every script stay
    readable.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    shown = []
    for character in text:
        if character in '"\\':
            shown.append("\\" + character)
        elif character.isprintable():
            shown.append(character)
        else:
            shown.append(character.encode("unicode_escape").decode("ascii"))
    return "".join(shown)


def escaped(text: str) -> str:
    """
    Return C{text} on one line with escapes as in L{printable}, but quotes and backslashes as they
    are: for names of a depot, which have no backslash, and for sentences with escapes in them.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
