"""Parse the options of C{twistd xfer} about access, and refuse unsafe combinations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.python import usage

from xferproto.model.identity import ANYONE, NOBODY, Identity, View, parse_right
from xferproto.net.peer import is_loopback


def anonymous(value: str) -> Identity:
    """
    Parse the rights of strangers, as in C{list,read} or C{write}; C{all} adds everybody's files.

    @raise ValueError: the text has no right, or an unknown word.
    """
    words = [word.strip() for word in value.split(",")]
    try:
        rights = frozenset(parse_right(word) for word in words if word != "all")
    except ValueError as error:
        raise ValueError(f"{error}; all adds everybody's files") from None
    if not rights:
        raise ValueError("give at least one right of list, read, write, delete")
    return Identity(rights=rights, view=View(all="all" in words))


class AccessOptions(usage.Options):
    """Parse C{--users} and C{--anonymous}."""

    optParameters = [
        ["users", "u", None, "File of the users who can log in; see xfer-depot users."],
        [
            "anonymous",
            "a",
            None,
            "Rights of clients that do not log in: list, read, write, delete, separated by "
            "commas. They see only files stored without a login; add all to show every file.",
            anonymous,
        ],
    ]

    def anonymous_identity(self) -> Identity:
        """Return the rights of clients that have not logged in."""
        if self["anonymous"] is not None:
            identity: Identity = self["anonymous"]
            return identity
        return ANYONE if self["users"] is None else NOBODY


def check_reach(options: Any) -> None:
    """
    Refuse to listen to the network without users or rights of strangers.

    @param options: C{endpoints}, a list of descriptions, or C{interface}, an address; and
        C{classic}, a list of descriptions.
    @raise SystemExit: other machines could connect, and no option says what they may do.
    """
    if options["users"] is not None or options["anonymous"] is not None:
        return
    if options["endpoints"]:
        far = _far(options["endpoints"])
    else:
        far = [text for text in [options["interface"]] if not is_loopback(text)]
    if far := [*far, *_far(options["classic"])]:
        raise SystemExit(
            f"xfer: other machines can reach {far[0]!r}; give --users FILE, or rights of clients "
            "that do not log in, as in --anonymous list,read"
        )


def _far(descriptions: Iterable[str]) -> list[str]:
    """Return the endpoints that other machines can connect to."""
    return [text for text in descriptions if not is_near(text.removeprefix("tls+"))]


_INTERFACE = {"tcp": 1, "tcp6": 1, "ssl": 4}
"""The position of the interface in an endpoint's arguments, counted from the port."""


def is_near(description: str) -> bool:
    """
    Return whether only this machine can connect to an endpoint, as far as its description shows: a
    UNIX socket, or TCP or TLS on a loopback address.
    """
    kind, *fields = endpoint_fields(description)
    if kind == (None, "unix"):
        return True
    if kind[0] is not None or kind[1] not in _INTERFACE:
        return False
    positional = [value for key, value in fields if key is None]
    named = dict(fields)
    place = _INTERFACE[kind[1]]
    if "interface" in named:
        return is_loopback(named["interface"])
    return len(positional) > place and is_loopback(positional[place])


def endpoint_fields(description: str) -> list[tuple[str | None, str]]:
    """Split an endpoint's description into fields, each with its key or None."""
    fields: list[tuple[str | None, str]] = []
    key: str | None = None
    value = ""
    characters = iter(description)
    for character in characters:
        if character == ":":
            fields.append((key, value))
            key, value = None, ""
        elif character == "=" and key is None:
            key, value = value, ""
        else:
            value += next(characters, "") if character == "\\" else character
    return [*fields, (key, value)]
