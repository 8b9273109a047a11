"""Whole sessions, replayed in one piece, byte by byte and cut at random: the answer is the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import md5, sha256
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.depot import Depot
from xferproto.model.errors import BadCommand, BadId, BadToken, NoSuchFile, RequestError
from xferproto.server.limits import MAX_ERRORS
from xferproto.server.line.plain import help_lines
from xferproto.wire.states import State

HELLO, WORLD, EMPTY = (md5(content).hexdigest().encode() for content in (b"hello", b"world", b""))

HI = b"UPLOAD a.txt;5\nhello"
"""Stores C{hello}; answered with its id."""

NAME_AND_SIZE = b"Please send the file name and file size\n"
FILE_ID = b"Please send a file ID\n"
RESUMING = b"Please send the file name, file size and resume token\n"
READY = b"Ready to receive the file\n"
NONE = b"No files available at the moment\nDONE\n"
NO_DAMAGE = b"No damaged files known at the moment\nDONE\n"
HELP = b"".join(line + b"\n" for line in help_lines()) + b"DONE\n"


def refused(error: type[RequestError] | str) -> bytes:
    """The answer to what is refused: symbol and sentence, or the advice of the error's class."""
    if isinstance(error, str):
        return f"ERROR {error}\n".encode()
    return f"ERROR {error.symbol} {error.advice}\n".encode()


def closes(answer: bytes) -> bytes:
    """An answer whose last line also says that the server closes."""
    return answer.removesuffix(b".\n") + b"; the server closes the connection.\n"


BAD_PATH = refused("bad-name A name is a relative path without empty, . or .. components.")
BAD_SIZE = refused("bad-details A size is 1 to 19 decimal digits and below 2^63; send name;size.")
BEYOND = refused("bad-range The file has 5 bytes; ask for a range that lies within them.")
NO_SIZE = refused("bad-details There is no size; send the file name and file size as name;size.")
TOO_LONG = refused(
    "line-too-long A line holds at most 4096 bytes; connect again and send shorter lines."
)


SHA256 = b"sha256:" + sha256(b"hello").hexdigest().encode()
"""The token of who knows the hash of C{hello}."""

HEL = b"RESUME b;5;t\n0\nhel"
"""Three bytes of C{hello}, under a token."""


def held(content: bytes) -> bytes:
    """The answer to RESUME where this is held."""
    return b"%d;%s\n" % (len(content), md5(content).hexdigest().encode())


def only_from(offset: int) -> bytes:
    """The answer to an offset that is none to go on from."""
    return refused(f"bad-range Go on from {offset}, or from 0 to start over.")


NO_OFFSET = refused("bad-range An offset is a decimal number of bytes, below 2^63.")
MISSING = refused("bad-details A field is missing; send name;size;token.")


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    A session from end to end.

    @ivar about: what it shows.
    @ivar sent: all that the client sends.
    @ivar answered: all that the server answers.
    @ivar state: where the connection stands then.
    @ivar half_close: whether the client closes its half after that.
    @ivar closed: whether the server has closed its half at the end, or both.
    @ivar whole_only: whether the answer depends on what comes together.
    @ivar before: what an earlier connection sent, before it was lost.
    """

    about: str
    sent: bytes
    answered: bytes
    state: State = State.COMMAND
    half_close: bool = False
    closed: bool = False
    whole_only: bool = False
    before: bytes = b""


def closing(
    about: str, sent: bytes, answered: bytes, whole_only: bool = False, before: bytes = b""
) -> Recorded:
    """One that the server ends."""
    return Recorded(
        about, sent, answered, State.CLOSING, closed=True, whole_only=whole_only, before=before
    )


def ended(about: str, sent: bytes, answered: bytes, before: bytes = b"") -> Recorded:
    """One that ends because the client sends no more."""
    return Recorded(
        about, sent, answered, State.CLOSING, half_close=True, closed=True, before=before
    )


SESSIONS = [
    Recorded("silence", b"", b""),
    # Listing
    Recorded("an empty depot", b"LIST_FILES\n", NONE),
    Recorded("each spelling", b"LIST_FILES\nLIST FILES\nLIST FILE\nlist_Files\n", NONE * 4),
    Recorded("a prefix in an empty depot", b"LIST_FILES a\n", NONE),
    Recorded(
        "a listing in name order",
        b"UPLOAD b;5\nworldUPLOAD a;5\nhelloUPLOAD B;0\nLIST FILES\n",
        b"%s\n%s\n%s\n" % (WORLD, HELLO, EMPTY)
        + b"%s;B;0\n%s;a;5\n%s;b;5\nDONE\n" % (EMPTY, HELLO, WORLD),
    ),
    Recorded(
        "prefixes in each spelling",
        b"UPLOAD a/x;5\nhelloUPLOAD b/x;5\nhello"
        b"LIST_FILES a/\nLIST FILES b\nLIST FILE a/x\nLIST_FILES c\nLIST_FILES a/xx\nLIST_FILES \n",
        b"%s\n" % HELLO * 2
        + b"%s;a/x;5\nDONE\n" % HELLO
        + b"%s;b/x;5\nDONE\n" % HELLO
        + b"%s;a/x;5\nDONE\n" % HELLO
        + NONE * 2
        + b"%s;a/x;5\n%s;b/x;5\nDONE\n" % (HELLO, HELLO),
    ),
    Recorded(
        "a refused prefix",
        b"LIST_FILES a\\b\nLIST_FILES\n",
        refused("bad-name A name has no backslash; put / between the components of a path.") + NONE,
    ),
    # Damage, of which the sessions of docs/protocol.md have more
    Recorded(
        "no damage, in each spelling and before other requests",
        HI + b"LIST_DAMAGED\nLIST DAMAGED\nlist_damaged a\r\nLIST_DAMAGED \nLIST_FILES b\n",
        HELLO + b"\n" + NO_DAMAGE * 4 + NONE,
    ),
    Recorded(
        "a refused prefix of damage",
        b"LIST_DAMAGED a\\b\nLIST_DAMAGED\n",
        refused("bad-name A name has no backslash; put / between the components of a path.")
        + NO_DAMAGE,
    ),
    # Uploads
    Recorded(
        "a prompted upload",
        b"UPLOAD\na.txt;5\nhelloLIST_FILES\n",
        NAME_AND_SIZE + READY + b"%s\n%s;a.txt;5\nDONE\n" % (HELLO, HELLO),
    ),
    Recorded(
        "CRLF",
        b"UPLOAD\r\na.txt;5\r\nhelloLIST_FILES\r\nSTAT\r\n%s\r\n\r\n" % EMPTY,
        NAME_AND_SIZE
        + READY
        + b"%s\n%s;a.txt;5\nDONE\n" % (HELLO, HELLO)
        + FILE_ID
        + refused(NoSuchFile)
        + refused(BadCommand),
    ),
    Recorded("a one-line upload", HI, HELLO + b"\n"),
    Recorded("a one-line upload with CRLF", b"upload a.txt;5\r\nhello", HELLO + b"\n"),
    Recorded(
        "empty files",
        b"UPLOAD a;0\nUPLOAD\nb;0\nUPLOAD c;5\nhelloLIST_FILES\n",
        b"%s\n" % EMPTY
        + NAME_AND_SIZE
        + READY
        + b"%s\n%s\n" % (EMPTY, HELLO)
        + b"%s;a;0\n%s;b;0\n%s;c;5\nDONE\n" % (EMPTY, EMPTY, HELLO),
    ),
    Recorded(
        "an argument of nothing asks", b"UPLOAD \na;5\nhello", NAME_AND_SIZE + READY + HELLO + b"\n"
    ),
    Recorded(
        "pipelined uploads",
        b"".join(b"UPLOAD %d;1\n%d" % (digit, digit) for digit in range(10)),
        b"".join(md5(b"%d" % digit).hexdigest().encode() + b"\n" for digit in range(10)),
    ),
    Recorded(
        "several names, one content",
        b"UPLOAD b;5\nhelloUPLOAD a;5\nhelloUPLOAD a;5\nhelloLIST_FILES\n",
        b"%s\n" % HELLO * 3 + b"%s;a;5\n%s;b;5\nDONE\n" % (HELLO, HELLO),
    ),
    Recorded(
        "one name, two contents",
        b"UPLOAD a;5\nhelloUPLOAD a;5\nworldLIST_FILES\n",
        b"%s\n%s\n" % (HELLO, WORLD)
        + b"".join(b"%s;a;5\n" % id for id in sorted((HELLO, WORLD)))
        + b"DONE\n",
    ),
    Recorded(
        "a name with semicolons",
        b"UPLOAD a;1;b;5\nhelloLIST_FILES a;1\n",
        b"%s\n%s;a;1;b;5\nDONE\n" % (HELLO, HELLO),
    ),
    Recorded(
        "a name in many scripts",
        "UPLOAD e\u0301/שלום/🎉;5\nhelloLIST_FILES\n".encode(),
        HELLO + b"\n" + HELLO + ";e\u0301/שלום/🎉;5\nDONE\n".encode(),
    ),
    Recorded(
        "payload that looks like commands",
        b"UPLOAD a;11\nLIST_FILES\nHELP\n",
        md5(b"LIST_FILES\n").hexdigest().encode() + b"\n" + HELP,
    ),
    Recorded(
        "payload of line ends",
        b"UPLOAD a;4\n\r\n\r\n\nUPLOAD\nb;3\n\n\n\nHELP\n",
        md5(b"\r\n\r\n").hexdigest().encode()
        + b"\n"
        + refused(BadCommand)
        + NAME_AND_SIZE
        + READY
        + md5(b"\n\n\n").hexdigest().encode()
        + b"\n"
        + HELP,
    ),
    Recorded(
        "more bytes than declared are commands again",
        HI + b" and more\nLIST_FILES\n",
        b"%s\n" % HELLO + refused(BadCommand) + b"%s;a.txt;5\nDONE\n" % HELLO,
    ),
    # Refused uploads
    Recorded(
        "a refused payload that looks like commands is not read",
        b"UPLOAD ../a;21\nQUIT\nUPLOAD x;5\nhelloLIST_FILES\n",
        BAD_PATH + NONE,
    ),
    Recorded("a refused empty upload", b"UPLOAD ..;0\nLIST_FILES\n", BAD_PATH + NONE),
    Recorded(
        "a refused upload, then another",
        b"UPLOAD ..;5\nhello" + HI,
        BAD_PATH + HELLO + b"\n",
    ),
    closing("an upload of nobody knows how much", b"UPLOAD a;+5\nLIST_FILES\n", closes(BAD_SIZE)),
    closing("an upload without a size", b"UPLOAD a\nLIST_FILES\n", closes(NO_SIZE)),
    Recorded(
        "a prompted upload is refused before any payload",
        b"UPLOAD\n..;5\n",
        NAME_AND_SIZE + BAD_PATH,
    ),
    closing(
        "a refused prompted upload whose payload comes unasked",
        b"UPLOAD\n..;5\nhello\nLIST_FILES\n",
        NAME_AND_SIZE + closes(BAD_PATH),
        whole_only=True,
    ),
    # Downloads
    Recorded(
        "a prompted download",
        HI + b"DOWNLOAD\n%s\nHELP\n" % HELLO,
        b"%s\n" % HELLO + FILE_ID + b"%s;a.txt;5\nhello" % HELLO + HELP,
    ),
    Recorded(
        "a one-line download in upper case",
        HI + b"DOWNLOAD %s\n" % HELLO.upper(),
        b"%s\n%s;a.txt;5\nhello" % (HELLO, HELLO),
    ),
    Recorded(
        "ranges",
        HI
        + b"".join(
            b"DOWNLOAD %s;%s\n" % (HELLO, range)
            for range in (b"0", b"2", b"1;3", b"5", b"5;0", b"0;0", b"0;5")
        ),
        b"%s\n" % HELLO
        + b"".join(
            b"%s;a.txt;5\n%s" % (HELLO, part)
            for part in (b"hello", b"llo", b"ell", b"", b"", b"", b"hello")
        ),
    ),
    Recorded(
        "a range of a prompted download",
        HI + b"DOWNLOAD\n%s;4;1\n" % HELLO,
        b"%s\n" % HELLO + FILE_ID + b"%s;a.txt;5\no" % HELLO,
    ),
    Recorded(
        "an empty file",
        b"UPLOAD a;0\nDOWNLOAD %s\nDOWNLOAD %s;0;0\nHELP\n" % (EMPTY, EMPTY),
        b"%s\n%s;a;0\n%s;a;0\n" % (EMPTY, EMPTY, EMPTY) + HELP,
    ),
    Recorded(
        "a download goes by the oldest of its names",
        b"UPLOAD b;5\nworldUPLOAD c;5\nworldDOWNLOAD %s\n" % WORLD,
        b"%s\n%s\n%s;b;5\nworld" % (WORLD, WORLD, WORLD),
    ),
    Recorded(
        "ranges beyond the end",
        HI + b"DOWNLOAD %s;6\nDOWNLOAD %s;4;2\nDOWNLOAD %s;5;1\n" % (HELLO, HELLO, HELLO),
        b"%s\n" % HELLO + BEYOND * 3,
    ),
    Recorded(
        "ids that are none, and unknown",
        b"DOWNLOAD %s\nDOWNLOAD 12\nSTAT %s\nSTAT\nzz\nDOWNLOAD\n\n" % (HELLO, HELLO),
        refused(NoSuchFile)
        + refused(BadId)
        + refused(NoSuchFile)
        + FILE_ID
        + refused(BadId)
        + FILE_ID
        + refused(BadId),
    ),
    # Resumed uploads
    Recorded(
        "a resumed upload that is new",
        b"RESUME\nb;5;t\n0\nhelloLIST_FILES\n",
        RESUMING + held(b"") + READY + b"%s\n%s;b;5\nDONE\n" % (HELLO, HELLO),
    ),
    Recorded(
        "a new one whose details come with the command",
        b"resume b;1;c;5;t\r\n00\r\nhelloLIST_FILES\r\n",
        held(b"") + READY + b"%s\n%s;b;1;c;5\nDONE\n" % (HELLO, HELLO),
    ),
    Recorded(
        "one that goes on where a lost connection ended",
        b"LIST_FILES\nRESUME b;5;t\n3\nloLIST_FILES\n",
        NONE + held(b"hel") + READY + b"%s\n%s;b;5\nDONE\n" % (HELLO, HELLO),
        before=HEL,
    ),
    Recorded(
        "one that starts over",
        b"RESUME b;5;t\n0\nworldLIST_FILES\n",
        held(b"hel") + READY + b"%s\n%s;b;5\nDONE\n" % (WORLD, WORLD),
        before=HEL,
    ),
    Recorded(
        "one that starts over, is cut off, and told",
        b"RESUME b;5;t\n",
        held(b"wo"),
        State.ARGUMENT,
        before=HEL + b"loRESUME b;5;t\n0\nwo",
    ),
    Recorded(
        "one that goes on under another name",
        b"RESUME c;5;t\n3\nloLIST_FILES\n",
        held(b"hel") + READY + b"%s\n%s;c;5\nDONE\n" % (HELLO, HELLO),
        before=HEL,
    ),
    Recorded(
        "one that lacks nothing but its end",
        b"RESUME b;3;t\n3\nLIST_FILES\n",
        held(b"hel")
        + READY
        + b"%s\n" % md5(b"hel").hexdigest().encode()
        + b"%s;b;3\nDONE\n" % md5(b"hel").hexdigest().encode(),
        before=HEL,
    ),
    Recorded(
        "one that turns out to be shorter than what is held",
        b"RESUME b;2;t\n0\nhiLIST_FILES\n",
        held(b"")
        + READY
        + b"%s\n" % md5(b"hi").hexdigest().encode()
        + b"%s;b;2\nDONE\n" % md5(b"hi").hexdigest().encode(),
        before=HEL,
    ),
    Recorded(
        "one of nothing",
        b"RESUME b;0;t\n0\nRESUME b;0;t\n0\nLIST_FILES\n",
        (held(b"") + READY + b"%s\n" % EMPTY) * 2 + b"%s;b;0\nDONE\n" % EMPTY,
    ),
    Recorded(
        "one whose answer was lost",
        b"RESUME b;5;t\n5\nLIST_FILES\n",
        held(b"hello") + READY + b"%s\n%s;b;5\nDONE\n" % (HELLO, HELLO),
        before=HEL + b"lo",
    ),
    Recorded(
        "a complete one under another name",
        b"RESUME c;5;t\n5\nLIST_FILES\n",
        held(b"hello") + READY + b"%s\n%s;b;5\n%s;c;5\nDONE\n" % (HELLO, HELLO, HELLO),
        before=HEL + b"lo",
    ),
    Recorded(
        "a complete one that is sent again all the same",
        b"RESUME b;5;t\n0\nworldLIST_FILES b\n",
        held(b"hello")
        + READY
        + b"%s\n" % WORLD
        + b"".join(b"%s;b;5\n" % id for id in sorted((HELLO, WORLD)))
        + b"DONE\n",
        before=HEL + b"lo",
    ),
    Recorded(
        "the token of a complete one, with another size",
        b"RESUME b;6;t\n0\nhello!",
        held(b"") + READY + b"%s\n" % md5(b"hello!").hexdigest().encode(),
        before=HEL + b"lo",
    ),
    Recorded(
        "the token of a complete one that was deleted",
        b"DELETE %s\nRESUME b;5;t\n0\nhello" % HELLO,
        b"%s\n" % HELLO + held(b"") + READY + b"%s\n" % HELLO,
        before=HEL + b"lo",
    ),
    Recorded(
        "a known content",
        HI + b"RESUME b;5;%s\n5\nLIST_FILES\n" % SHA256,
        b"%s\n" % HELLO
        + held(b"hello")
        + READY
        + b"%s\n%s;a.txt;5\n%s;b;5\nDONE\n" % (HELLO, HELLO, HELLO),
    ),
    Recorded(
        "a known content that is sent all the same",
        HI + b"RESUME b;5;%s\n0\nhello" % SHA256,
        b"%s\n" % HELLO + held(b"hello") + READY + b"%s\n" % HELLO,
    ),
    Recorded(
        "a hash that is not known yet, and then is",
        b"RESUME b;5;%s\n0\nhelloRESUME c;5;%s\n5\n" % (SHA256, SHA256),
        held(b"") + READY + b"%s\n" % HELLO + held(b"hello") + READY + b"%s\n" % HELLO,
    ),
    Recorded(
        "a hash that is another one's is no more than a token",
        b"RESUME b;5;%s\n0\nworldRESUME b;5;%s\n" % (SHA256, SHA256),
        held(b"") + READY + b"%s\n" % WORLD + held(b""),
        State.ARGUMENT,
    ),
    Recorded(
        "a known hash with another size",
        HI + b"RESUME b;4;%s\n0\nhell" % SHA256,
        b"%s\n" % HELLO + held(b"") + READY + md5(b"hell").hexdigest().encode() + b"\n",
    ),
    Recorded(
        "an offset that is none of both",
        b"RESUME b;5;t\n2\n",
        held(b"hel") + only_from(3),
        before=HEL,
    ),
    Recorded(
        "an offset that is none of both, of a complete one",
        b"RESUME b;5;t\n3\n",
        held(b"hello") + only_from(5),
        before=HEL + b"lo",
    ),
    Recorded("an offset that is none", b"RESUME b;5;t\n-3\n", held(b"") + NO_OFFSET),
    Recorded("no offset", b"RESUME b;5;t\n\n", held(b"") + NO_OFFSET),
    closing(
        "a refused offset whose payload comes unasked",
        b"RESUME b;5;t\n5\nLIST_FILES\n",
        held(b"hel") + closes(only_from(3)),
        whole_only=True,
        before=HEL,
    ),
    Recorded(
        "a resumed upload is refused before any payload",
        b"RESUME ..;5;t\n",
        BAD_PATH,
    ),
    Recorded("a token that is none", b"RESUME b;5;a/b\n", refused(BadToken)),
    Recorded("an asked token that is none", b"RESUME\nb;5;\n", RESUMING + refused(BadToken)),
    Recorded("a longer token", b"RESUME b;5;%s\n" % (b"t" * 129), refused(BadToken)),
    Recorded(
        "the longest token",
        b"RESUME b;0;%s\n0\n" % (b"t" * 128),
        held(b"") + READY + b"%s\n" % EMPTY,
    ),
    Recorded("no token", b"RESUME b;5\n", MISSING),
    Recorded("no size", b"RESUME b;x;t\n", BAD_SIZE),
    closing(
        "refused details whose payload comes unasked",
        b"RESUME ..;5;t\n0\nhello\nLIST_FILES\n",
        closes(BAD_PATH),
        whole_only=True,
    ),
    closing(
        "asked details that are refused, and whose payload comes unasked",
        b"RESUME\nb;5;?\n0\nhello\nLIST_FILES\n",
        RESUMING + closes(refused(BadToken)),
        whole_only=True,
    ),
    Recorded(
        "more bytes than a resumed upload lacks are commands again",
        b"RESUME b;5;t\n3\nlo and more\n",
        held(b"hel") + READY + b"%s\n" % HELLO + refused(BadCommand),
        before=HEL,
    ),
    # Checks
    Recorded(
        "verified",
        HI + b"VERIFY %s\nverify\n%s\n" % (HELLO, HELLO.upper()),
        b"%s\n%s\n" % (HELLO, HELLO) + FILE_ID + b"%s\n" % HELLO,
    ),
    Recorded("an empty file is verified", b"UPLOAD a;0\nVERIFY %s\n" % EMPTY, b"%s\n" % EMPTY * 2),
    Recorded(
        "nothing to verify",
        b"VERIFY %s\nVERIFY 12\nVERIFY\n\n" % HELLO,
        refused(NoSuchFile) + refused(BadId) + FILE_ID + refused(BadId),
    ),
    # Removal
    Recorded(
        "one name of two is deleted",
        b"UPLOAD a;5\nhelloUPLOAD b;5\nhelloDELETE %s;a\nLIST_FILES\n" % HELLO
        + b"DOWNLOAD %s\n" % HELLO,
        b"%s\n" % HELLO * 3 + b"%s;b;5\nDONE\n%s;b;5\nhello" % (HELLO, HELLO),
    ),
    Recorded(
        "the last name is deleted",
        b"UPLOAD a;b;5\nhelloDELETE\n%s;a;b\nLIST_FILES\n" % HELLO.upper()
        + b"STAT %s\nDOWNLOAD %s\n" % (HELLO, HELLO),
        b"%s\n" % HELLO + FILE_ID + b"%s\n" % HELLO + NONE + refused(NoSuchFile) * 2,
    ),
    Recorded(
        "all names are deleted, those of others are not",
        b"UPLOAD a;5\nhelloUPLOAD b;5\nhelloUPLOAD a;5\nworldDELETE %s\nLIST_FILES\n" % HELLO,
        b"%s\n%s\n%s\n%s\n" % (HELLO, HELLO, WORLD, HELLO) + b"%s;a;5\nDONE\n" % WORLD,
    ),
    Recorded(
        "deleted and stored again",
        HI + b"DELETE %s\n" % HELLO + HI + b"DOWNLOAD %s\n" % HELLO,
        b"%s\n" % HELLO * 3 + b"%s;a.txt;5\nhello" % HELLO,
    ),
    Recorded(
        "nothing to delete",
        HI
        + b"DELETE %s\nDELETE %s;b\nDELETE x;a.txt\nDELETE\n%s;../a.txt\n" % (WORLD, HELLO, HELLO)
        + b"DELETE %s;\nLIST_FILES\n" % HELLO,
        b"%s\n" % HELLO
        + refused(NoSuchFile) * 2
        + refused(BadId)
        + FILE_ID
        + BAD_PATH
        + refused("bad-name A name is not empty; send a relative path.")
        + b"%s;a.txt;5\nDONE\n" % HELLO,
    ),
    # The others
    Recorded(
        "the status of a file",
        b"UPLOAD b;5\nhelloUPLOAD a;5\nhelloSTAT %s\nstat\n%s\n" % (HELLO, HELLO.upper()),
        b"%s\n" % HELLO * 2
        + (
            b"%s;a;5\n%s;b;5\nsha256 %s\n" % (HELLO, HELLO, sha256(b"hello").hexdigest().encode())
            + b"stored 2001-09-09T01:46:40.000Z\nverified 2001-09-09T01:46:40.000Z\nDONE\n"
        ).join([b"", FILE_ID, b""]),
    ),
    Recorded("help", b"HELP\nhelp\n", HELP * 2),
    closing("goodbye", b"QUIT\n", b""),
    closing("goodbye, and what comes after it", HI + b"QUIT\nLIST_FILES\n", HELLO + b"\n"),
    Recorded(
        "a command is no argument", b"STAT\nLIST_FILES\nHELP\n", FILE_ID + refused(BadId) + HELP
    ),
    Recorded(
        "unknown and empty commands",
        b"\n\r\nHELLO\nLIST\n\xff\xfe\nHELP\n",
        refused(BadCommand) * 5 + HELP,
    ),
    closing("too many errors", b"x\n" * (MAX_ERRORS + 5), closes(refused(BadCommand) * MAX_ERRORS)),
    Recorded(
        "the longest line, then commands",
        b"x" * 4096 + b"\nHELP\n",
        refused(BadCommand) + HELP,
    ),
    closing("a line that is too long", HI + b"x" * 4097 + b"\nHELP\n", HELLO + b"\n" + TOO_LONG),
    # The client sends no more
    ended("nothing at all", b"", b""),
    ended("a command, and no more", b"LIST_FILES\n", NONE),
    ended("an unfinished last line", b"LIST_FILES", NONE),
    ended("an unfinished last line with half of its end", b"LIST_FILES\r", NONE),
    ended(
        "an unfinished last argument", HI + b"STAT\n12", HELLO + b"\n" + FILE_ID + refused(BadId)
    ),
    ended(
        "an unfinished last line that asks",
        b"UPLOAD",
        NAME_AND_SIZE,
    ),
    ended(
        "an unfinished last download",
        HI + b"DOWNLOAD %s;1" % HELLO,
        b"%s\n%s;a.txt;5\nello" % (HELLO, HELLO),
    ),
    ended("an unfinished last upload of nothing", b"UPLOAD a;0", EMPTY + b"\n"),
    ended("an upload, and no more", HI, HELLO + b"\n"),
    ended(
        "a short upload",
        b"UPLOAD a;9\nhello",
        refused("bad-details The input ended after 5 of 9 declared bytes; nothing was stored."),
    ),
    ended(
        "an upload of which nothing comes",
        b"UPLOAD\na;9",
        NAME_AND_SIZE
        + READY
        + refused("bad-details The input ended after 0 of 9 declared bytes; nothing was stored."),
    ),
    ended(
        "a short resumed upload",
        b"RESUME b;9;t\n0\nhello",
        held(b"")
        + READY
        + refused("bad-details The input ended after 5 of 9 declared bytes; what came is kept."),
    ),
    ended("a resumed upload that is left alone", b"RESUME b;5;t", held(b"")),
    ended(
        "a resumed upload that is complete, and no more",
        b"RESUME b;5;t\n3\nlo",
        held(b"hel") + READY + b"%s\n" % HELLO,
        before=HEL,
    ),
    ended("an unfinished last check", HI + b"VERIFY %s" % HELLO, b"%s\n" % HELLO * 2),
    ended("an unfinished last removal", HI + b"DELETE %s;a.txt" % HELLO, b"%s\n" % HELLO * 2),
    ended("a short refused upload", b"UPLOAD ..;9\nhello", BAD_PATH),
    ended("goodbye, unfinished", b"QUIT", b""),
]

SPLITTABLE = [session for session in SESSIONS if not session.whole_only]


def cut(data: bytes, positions: Iterable[int]) -> list[bytes]:
    """C{data} in pieces that begin at these positions."""
    ends = [0, *sorted(positions), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


class ReplayTests(SynchronousTestCase):
    """Each of L{SESSIONS}."""

    def replay(self, session: Recorded, chunks: Iterable[bytes]) -> None:
        """Let a session's bytes arrive in these chunks, at a depot of its own."""
        case = SynchronousTestCase()  # ends here, so that hundreds of stores aren't open at once
        self.addCleanup(case.doCleanups)
        depot = Depot(case)
        if session.before:
            earlier = depot.connect()
            earlier.send(session.before)
            earlier.lose()
        connection = depot.connect()
        answered = connection.send(*chunks)
        if session.half_close:
            answered += connection.half_close()
        transport = connection.transport
        self.assertEqual(answered, session.answered, session.about)
        self.assertIs(connection.protocol.state, session.state, session.about)
        self.assertEqual(transport.half_closed or not transport.connected, session.closed)
        self.assertFalse(transport.aborted, session.about)
        self.assertFalse(connection.protocol.paused, session.about)
        connection.lose()
        self.assertEqual([file for file in depot.files() if file.startswith("incoming")], [])
        case.doCleanups()

    def test_whole(self) -> None:
        """Everything in one piece is answered as recorded."""
        for session in SESSIONS:
            with self.subTest(session.about):
                self.replay(session, [session.sent])

    def test_byte_by_byte(self) -> None:
        """So is everything byte by byte."""
        for session in SPLITTABLE:
            with self.subTest(session.about):
                self.replay(session, cut(session.sent, range(1, len(session.sent))))

    @settings(deadline=None, derandomize=True, max_examples=100)
    @given(st.sampled_from(SPLITTABLE), st.data())
    def test_random_splits(self, session: Recorded, data: st.DataObject) -> None:
        """So is everything however it is cut."""
        positions = data.draw(st.sets(st.integers(0, len(session.sent)), max_size=12))
        self.replay(session, cut(session.sent, positions))
