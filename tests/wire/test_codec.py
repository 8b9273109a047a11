"""The grammar: what the wire's bytes mean, and which bytes mean nothing."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from xferproto.model import names as model_names
from xferproto.model.credentials import Login
from xferproto.model.entry import Entry
from xferproto.model.errors import (
    REQUEST_ERRORS,
    BadCommand,
    BadDetails,
    BadId,
    BadName,
    BadRange,
    RequestError,
    UnknownRequestError,
)
from xferproto.model.names import parse_name, parse_prefix
from xferproto.wire import codec
from xferproto.wire.commands import Command, parse_command
from xferproto.wire.requests import Range, UploadDetails

untimed = settings(deadline=None, derandomize=True)

ID = "0123456789abcdef0123456789abcdef"

BAD_SIZES = {
    "none": b"",
    "negative": b"-5",
    "signed": b"+5",
    "underscore": b"1_000",
    "fullwidth digit": "５".encode(),
    "arabic digit": "٥".encode(),
    "20 digits": b"0" * 19 + b"1",
    "2^63": b"%d" % 2**63,
    "19 nines": b"9" * 19,
    "fraction": b"1.5",
    "exponent": b"1e3",
    "hexadecimal": b"0x10",
    "space before": b" 5",
    "space after": b"5 ",
    "CR after": b"5\r",
    "LF after": b"5\n",
    "letters": b"five",
    "NUL": b"5\0",
}

BAD_NAMES = {
    "empty": b"",
    "NUL": b"a\0b",
    "tab": b"a\tb",
    "CR": b"a\rb",
    "LF": b"a\nb",
    "escape": b"a\x1b[2Jb",
    "delete": b"a\x7fb",
    "next line, U+0085": "a\u0085b".encode(),
    "C1 control": "a\u009bb".encode(),
    "line separator, U+2028": "a\u2028b".encode(),
    "paragraph separator, U+2029": "a\u2029b".encode(),
    "parent": b"..",
    "parent first": b"../a",
    "parent within": b"a/../b",
    "parent last": b"a/..",
    "self": b".",
    "self within": b"a/./b",
    "leading slash": b"/a",
    "trailing slash": b"a/",
    "slash alone": b"/",
    "empty component": b"a//b",
    "backslash": b"a\\b",
    "stray byte": b"a\xff",
    "cut sequence": "ä".encode()[:1],
    "overlong slash": b"a\xc0\xafb",
    "surrogate": b"a\xed\xa0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "1,025 bytes": b"a/" * 512 + b"a",
    "256-byte component": b"a" * 256,
    "256-byte component of two-byte letters": "ä".encode() * 128,
    "256-byte component within": b"a/" + b"b" * 256 + b"/c",
}

GOOD_NAMES = {
    "plain": "report.txt",
    "path": "a/b/c",
    "hidden": ".profile",
    "three dots": "...",
    "dots within": "a..b/..c",
    "semicolons": ";a;b;",
    "spaces": " a b ",
    "quotes": '"it\'s"',
    "emoji": "🎉👩\u200d🚀.png",
    "bidirectional override": "a\u202etxt.exe",
    "right-to-left": "שלום",
    "combining": "e\u0301\u0323",
    "combining alone": "\u0301",
    "no-break space": "a\u00a0b",
    "colon and star": "C:*?<>|",
    "like a command": "LIST_FILES",
    "like an error": "ERROR internal",
    "exactly 1,024 bytes": "/".join(["a" * 255] * 3 + ["b" * 254, "c"]),
    "component of exactly 255 bytes": "ä" * 127 + "a",
    "private use": "\ue000",
    "last code point": "\U0010ffff",
}

BAD_IDS = {
    "empty": b"",
    "31 digits": ID.encode()[:-1],
    "33 digits": ID.encode() + b"0",
    "not hexadecimal": b"g" + ID.encode()[1:],
    "fullwidth digit": "０".encode() + ID.encode()[3:],
    "space": b" " + ID.encode()[1:],
    "LF after": ID.encode() + b"\n",
    "path": b"../" + ID.encode()[3:],
}

PARSERS: list[Callable[[bytes], object]] = [
    parse_command,
    codec.parse_size,
    codec.parse_id,
    parse_name,
    parse_prefix,
    codec.parse_upload,
    codec.parse_resume,
    codec.parse_held,
    codec.parse_offset,
    codec.parse_deletion,
    codec.parse_login,
    codec.payload_size,
    codec.parse_range,
    codec.parse_entry,
    codec.parse_sha256,
    codec.parse_time,
    codec.parse_error,
    codec.parse_wait,
]

components = (
    st.text(
        st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/\\"),
        min_size=1,
        max_size=60,
    )
    .filter(lambda component: component not in (".", ".."))
    .filter(lambda component: len(component.encode()) <= 255)
)
names = (
    st.lists(components, min_size=1, max_size=5)
    .map("/".join)
    .filter(lambda name: len(name.encode()) <= 1024)
)
sizes = st.integers(0, 2**63 - 1)
ids = st.binary(min_size=16, max_size=16).map(bytes.hex)
ranges = st.builds(Range, ids, sizes, st.none() | sizes)
sentences = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"))

# Nearly right is where parsers break; so are lines made of the grammar's own pieces.
pieces = st.sampled_from(
    [
        *(b";", b" ", b"/", b"\\", b".", b"..", b"\r", b"\0", b"\xff", b"\xe2\x80\xa8", b"a"),
        *(b"5", b"-", b"9" * 19, "５".encode(), ID.encode(), ID.upper().encode()[1:]),
        *(b"LIST", b"FILES", b"LIST_FILES", b"UPLOAD", b"ERROR", b"bad-id"),
        *(b"2001-02-03", b"T", b"04:05:06.789", b":", b"Z", b"W05", b"+01:00"),
    ]
)
lines = st.binary(max_size=200) | st.lists(pieces, max_size=12).map(b"".join)


class SizeTests(SynchronousTestCase):
    """C{size}."""

    @untimed
    @given(sizes)
    def test_round_trip(self, size: int) -> None:
        """Every size below 2^63 is read back as it was written."""
        self.assertEqual(codec.parse_size(b"%d" % size), size)

    def test_limits(self) -> None:
        """0, leading zeros, and 2^63 - 1 are sizes."""
        self.assertEqual(codec.parse_size(b"0"), 0)
        self.assertEqual(codec.parse_size(b"007"), 7)
        self.assertEqual(codec.parse_size(b"0" * 19), 0)
        self.assertEqual(codec.parse_size(b"9223372036854775807"), 2**63 - 1)

    def test_refused(self) -> None:
        """Whatever is not 1 to 19 ASCII digits below 2^63 is refused as bad details."""
        for what, field in BAD_SIZES.items():
            with self.subTest(what):
                self.assertRaises(BadDetails, codec.parse_size, field)


class NameTests(SynchronousTestCase):
    """C{name} and the prefix of a listing."""

    @untimed
    @given(names)
    def test_round_trip(self, name: str) -> None:
        """Every name is read back as it was written, and is a prefix too."""
        self.assertEqual(parse_name(name.encode()), name)
        self.assertEqual(parse_prefix(name.encode()), name)

    def test_allowed(self) -> None:
        """A name is a label: whatever can't break a line or leave a directory may be in it."""
        for what, name in GOOD_NAMES.items():
            with self.subTest(what):
                self.assertEqual(parse_name(name.encode()), name)

    def test_the_longest_is_exact(self) -> None:
        """The table's longest names lie exactly on the limits."""
        longest = GOOD_NAMES["exactly 1,024 bytes"].encode()
        self.assertEqual(len(longest), 1024)
        self.assertEqual(len(GOOD_NAMES["component of exactly 255 bytes"].encode()), 255)
        self.assertEqual(len(BAD_NAMES["1,025 bytes"]), 1025)

    def test_refused(self) -> None:
        """What is empty, too long, no UTF-8, no relative path or breaks a line is a bad name."""
        for what, field in BAD_NAMES.items():
            with self.subTest(what):
                self.assertRaises(BadName, parse_name, field)

    def test_prefix(self) -> None:
        """A prefix may be empty or end anywhere in a name, even where no name ends."""
        for prefix in ("", "a/", "a/.", "..", ";", "a" * 300):
            with self.subTest(prefix):
                self.assertEqual(parse_prefix(prefix.encode()), prefix)

    def test_prefix_refused(self) -> None:
        """A prefix with a character that no name has is a bad name."""
        for what in ("NUL", "escape", "next line, U+0085", "line separator, U+2028", "backslash"):
            with self.subTest(what):
                self.assertRaises(BadName, parse_prefix, BAD_NAMES[what])
        self.assertRaises(BadName, parse_prefix, b"a\xff")


class IdTests(SynchronousTestCase):
    """C{id} and the SHA-256 of a status."""

    @untimed
    @given(ids)
    def test_either_case(self, id: str) -> None:
        """An id is read in either case, and is lower case from there on."""
        self.assertEqual(codec.parse_id(id.encode()), id)
        self.assertEqual(codec.parse_id(id.upper().encode()), id)

    def test_refused(self) -> None:
        """What is not 32 hex digits is a bad id."""
        for what, field in BAD_IDS.items():
            with self.subTest(what):
                self.assertRaises(BadId, codec.parse_id, field)

    def test_sha256(self) -> None:
        """A SHA-256 is 64 lower-case hex digits and nothing else."""
        self.assertEqual(codec.parse_sha256(b"0a" * 32), "0a" * 32)
        for field in (b"", b"0a" * 31, b"0a" * 33, b"0A" * 32, b"0g" * 32, b"0a" * 32 + b"\n"):
            with self.subTest(field):
                self.assertRaises(BadDetails, codec.parse_sha256, field)


class CommandTests(SynchronousTestCase):
    """The command line."""

    def test_spellings(self) -> None:
        """Each spelling of each command stands for it, in any letter case."""
        for command in Command:
            for spelling in command.spellings:
                for line in (spelling, spelling.lower(), spelling.title(), spelling.swapcase()):
                    with self.subTest(line):
                        self.assertEqual(parse_command(line.encode()), (command, None))

    def test_list_has_three_spellings(self) -> None:
        """LIST_FILES, LIST FILES and LIST FILE are one command."""
        self.assertEqual(Command.LIST_FILES.spellings, ("LIST_FILES", "LIST FILES", "LIST FILE"))

    @untimed
    @given(st.sampled_from([*Command]), lines)
    def test_argument(self, command: Command, argument: bytes) -> None:
        """What follows one space is the argument, as it came; nothing after it is none."""
        for spelling in command.spellings:
            self.assertEqual(
                parse_command(spelling.lower().encode() + b" " + argument),
                (command, argument or None),
            )

    def test_list_file_is_not_a_prefix_of_list_files(self) -> None:
        """The longest spelling wins, so that no prefix begins with what belongs to the command."""
        for line, argument in (
            (b"LIST FILES s", b"s"),
            (b"LIST FILE s", b"s"),
            (b"LIST_FILES s t", b"s t"),
            (b"LIST FILES  s", b" s"),
        ):
            with self.subTest(line):
                self.assertEqual(parse_command(line), (Command.LIST_FILES, argument))

    def test_refused(self) -> None:
        """What begins with no command and a space, or the end, is a bad command."""
        for line in (
            b"",
            b" ",
            b"\r",
            b"LIST",
            b"LISTFILES",
            b"LIST_FILESX",
            b"LIST  FILES",
            b" LIST_FILES",
            b"HELPME",
            b"UPLOAD;a;5",
            b"UPLOAD\ta;5",
            b"GET / HTTP/1.1",
            b"\0\xff\xfe",
            "ＨＥＬＰ".encode(),
            "LıST_FILES".encode(),
        ):
            with self.subTest(line):
                self.assertRaises(BadCommand, parse_command, line)

    def test_usage(self) -> None:
        """HELP's line for a command begins with it, and is plain ASCII."""
        for command in Command:
            self.assertTrue(command.usage.startswith(command.spellings[0]))
            self.assertTrue(command.usage.isascii())


class UploadTests(SynchronousTestCase):
    """C{name;size}."""

    @untimed
    @given(names, sizes)
    @example("a;5;", 0)
    def test_round_trip(self, name: str, size: int) -> None:
        """Details are read back as they were written, and tell how much payload follows."""
        details = UploadDetails(name, size)
        self.assertEqual(codec.parse_upload(codec.format_upload(details)), details)
        self.assertEqual(codec.payload_size(codec.format_upload(details)), size)

    def test_the_size_is_the_last_field(self) -> None:
        """A name may hold semicolons, numbers after them too."""
        self.assertEqual(codec.parse_upload(b"a;1;2"), UploadDetails("a;1", 2))

    def test_no_size(self) -> None:
        """Without a semicolon there are no details."""
        for argument in (b"", b"a", b"5"):
            with self.subTest(argument):
                self.assertRaises(BadDetails, codec.parse_upload, argument)
                self.assertIsNone(codec.payload_size(argument))

    def test_bad_size(self) -> None:
        """A bad size is bad details, and nobody knows how much payload follows."""
        for what, size in BAD_SIZES.items():
            with self.subTest(what):
                self.assertRaises(BadDetails, codec.parse_upload, b"a;" + size)
                self.assertIsNone(codec.payload_size(b"a;" + size))

    def test_bad_name(self) -> None:
        """A bad name is told as such, and the payload's size is known all the same."""
        for what, name in BAD_NAMES.items():
            with self.subTest(what):
                self.assertRaises(BadName, codec.parse_upload, name + b";7")
                self.assertEqual(codec.payload_size(name + b";7"), 7)


class RangeTests(SynchronousTestCase):
    """C{id[;offset[;length]]}."""

    @untimed
    @given(ranges)
    def test_round_trip(self, range: Range) -> None:
        """A range is read back as it was written."""
        self.assertEqual(codec.parse_range(codec.format_range(range)), range)

    def test_shortest_form(self) -> None:
        """No field is written that says nothing."""
        for range, text in (
            (Range(ID), ID),
            (Range(ID, 5), f"{ID};5"),
            (Range(ID, 0, 7), f"{ID};0;7"),
            (Range(ID, 5, 0), f"{ID};5;0"),
        ):
            with self.subTest(text):
                self.assertEqual(codec.format_range(range), text.encode())

    def test_bad_id(self) -> None:
        """A range of what is no id is a bad id."""
        for what, id in BAD_IDS.items():
            with self.subTest(what):
                self.assertRaises(BadId, codec.parse_range, id)
                self.assertRaises(BadId, codec.parse_range, id + b";0;0")

    def test_bad_numbers(self) -> None:
        """An offset or a length that is no size is a bad range."""
        for what, number in BAD_SIZES.items():
            with self.subTest(what):
                self.assertRaises(BadRange, codec.parse_range, b"%s;%s" % (ID.encode(), number))
                self.assertRaises(BadRange, codec.parse_range, b"%s;0;%s" % (ID.encode(), number))

    def test_too_many_fields(self) -> None:
        """A fourth field is bad details."""
        self.assertRaises(BadDetails, codec.parse_range, ID.encode() + b";0;0;0")

    @untimed
    @given(ids, sizes, sizes, sizes)
    def test_within(self, id: str, offset: int, length: int, size: int) -> None:
        """A range lies within a file exactly when it ends no later than the file."""
        if offset + length <= size:
            self.assertEqual(Range(id, offset, length).within(size), length)
        else:
            self.assertRaises(BadRange, Range(id, offset, length).within, size)
        if offset <= size:
            self.assertEqual(Range(id, offset).within(size), size - offset)
        else:
            self.assertRaises(BadRange, Range(id, offset).within, size)

    def test_the_end_is_within(self) -> None:
        """No bytes from the very end are a range; one byte from there, or none beyond, are not."""
        self.assertEqual(Range(ID, 10).within(10), 0)
        self.assertEqual(Range(ID, 10, 0).within(10), 0)
        self.assertEqual(Range(ID, 0, 0).within(0), 0)
        for range in (Range(ID, 10, 1), Range(ID, 11), Range(ID, 11, 0), Range(ID, 0, 11)):
            with self.subTest(range):
                self.assertRaises(BadRange, range.within, 10)


class EntryTests(SynchronousTestCase):
    """C{id;name;size}."""

    @untimed
    @given(ids, names, sizes)
    def test_round_trip(self, id: str, name: str, size: int) -> None:
        """An entry is read back as it was written."""
        entry = Entry(id, name, size)
        self.assertEqual(codec.parse_entry(codec.format_entry(entry)), entry)

    def test_semicolons(self) -> None:
        """The id is the first field, the size the last, and all between them the name."""
        self.assertEqual(codec.parse_entry(ID.encode() + b";a;1;;b;2"), Entry(ID, "a;1;;b", 2))

    def test_refused(self) -> None:
        """What is no entry is told for what it lacks."""
        id = ID.encode()
        for line, error in (
            (b"", BadDetails),
            (id, BadDetails),
            (id + b";a", BadDetails),
            (id + b";a;", BadDetails),
            (id + b";a;-1", BadDetails),
            (id + b";;1", BadName),
            (id + b";../a;1", BadName),
            (id[1:] + b";a;1", BadId),
            (b"DONE", BadDetails),
        ):
            with self.subTest(line):
                self.assertRaises(error, codec.parse_entry, line)


class TimeTests(SynchronousTestCase):
    """ISO 8601, in UTC, with milliseconds."""

    def test_form(self) -> None:
        """A time is written in UTC, to the millisecond, which is rounded down."""
        self.assertEqual(codec.format_time(0), b"1970-01-01T00:00:00.000Z")
        self.assertEqual(codec.format_time(1e9 + 0.7899), b"2001-09-09T01:46:40.789Z")

    @untimed
    @given(st.integers(0, 2**32 * 1000))
    def test_round_trip(self, milliseconds: int) -> None:
        """A time of whole milliseconds is read back as it was written."""
        seconds = milliseconds / 1000
        self.assertEqual(codec.parse_time(codec.format_time(seconds)), seconds)

    def test_refused(self) -> None:
        """What is no time, or does not say that it is in UTC, is bad details."""
        for field in (
            b"",
            b"now",
            b"1000000000",
            b"2001-02-30T04:05:06.789Z",
            b"2001-02-03T24:05:06.789Z",
            b"2001-02-03T04:05:06.789Z\n",
            b"2001-02-03T04:05:06.789Z;",
            b"\xff",
            "２００１-02-03T04:05:06.789Z".encode(),
        ):
            with self.subTest(field):
                self.assertRaises(BadDetails, codec.parse_time, field)

    def test_local_time(self) -> None:
        """A time without a zone is refused: it means another moment on each machine."""
        for field in (b"2001-02-03T04:05:06.789", b"2001-02-03", b"20010203", b"0001-01-01"):
            with self.subTest(field):
                self.assertRaises(BadDetails, codec.parse_time, field)


class ErrorTests(SynchronousTestCase):
    """C{ERROR symbol text}."""

    @untimed
    @given(st.sampled_from([*REQUEST_ERRORS.values()]), sentences)
    def test_round_trip(self, kind: type[RequestError], text: str) -> None:
        """Every error is read back as what it was, with its text."""
        error = codec.parse_error(codec.format_error(kind(text)))
        self.assertIs(type(error), kind)
        assert error is not None
        self.assertEqual(error.text, text)

    def test_advice(self) -> None:
        """An error without a text of its own gives its kind's advice: one sentence, on one line."""
        for symbol, kind in REQUEST_ERRORS.items():
            with self.subTest(symbol):
                line = codec.format_error(kind())
                self.assertEqual(line, f"ERROR {symbol} {kind.advice}".encode())
                self.assertTrue(kind.advice.isprintable())
                self.assertTrue(kind.advice.endswith("."))

    def test_unknown_symbol(self) -> None:
        """A symbol of a newer server is kept, with its text."""
        error = codec.parse_error(b"ERROR not-yet-known Try again.")
        self.assertIsInstance(error, UnknownRequestError)
        assert error is not None
        self.assertEqual((error.symbol, error.text), ("not-yet-known", "Try again."))
        self.assertEqual(codec.format_error(error), b"ERROR not-yet-known Try again.")
        self.assertEqual(RequestError.symbol, "internal")

    def test_no_text(self) -> None:
        """A symbol alone is an error with an empty text."""
        error = codec.parse_error(b"ERROR busy")
        assert error is not None
        self.assertEqual((error.symbol, error.text), ("busy", ""))

    def test_no_utf_8(self) -> None:
        """A text that is no UTF-8 is shown as well as it can be."""
        error = codec.parse_error(b"ERROR internal a\xffb")
        assert error is not None
        self.assertEqual(error.text, "a\ufffdb")

    def test_no_error(self) -> None:
        """Lines that are no errors are told apart."""
        for line in (b"", b"DONE", b"ERROR", b"ERRORS bad-id x", b"ERROR BAD x", b"error bad-id x"):
            with self.subTest(line):
                self.assertIsNone(codec.parse_error(line))


class WaitTests(SynchronousTestCase):
    """C{WAIT percent what}."""

    @untimed
    @given(st.integers(0, 100), sentences.filter(bool))
    def test_round_trip(self, percent: int, what: str) -> None:
        """A line is read back as it was written."""
        self.assertEqual(codec.parse_wait(codec.format_wait(percent, what)), (percent, what))

    def test_no_utf_8(self) -> None:
        """Words that are no UTF-8 are shown as well as they can be."""
        self.assertEqual(codec.parse_wait(b"WAIT 007 a\xffb"), (7, "a\ufffdb"))

    def test_malformed(self) -> None:
        """Lines that do not say how far what is are told apart."""
        for line in (
            b"",
            b"WAIT",
            b"WAIT ",
            b"WAIT 5",
            b"WAIT 5 ",
            b"WAIT  5 x",
            b"WAIT x hashing",
            b"WAIT -1 hashing",
            b"WAIT 101 hashing",
            b"WAIT 0001 hashing",
            "WAIT ５ hashing".encode(),
            b"wait 5 hashing",
            b"WAITED 5 hashing",
        ):
            with self.subTest(line):
                self.assertIsNone(codec.parse_wait(line))


class LoginTests(SynchronousTestCase):
    """C{user;password}."""

    def test_good(self) -> None:
        """Names and passwords at their limits, and a password with any character that shows."""
        for user, password in (
            ("a", "b"),
            ("A.b_c-0", "a;b;;"),
            ("x" * 64, "y" * 1024),
            ("..", " "),
            ("a", "pässwörd \u202e\u2028"),
        ):
            login = Login(user, password)
            written = codec.format_login(login)
            self.assertEqual(written, f"{user};{password}".encode())
            self.assertEqual(codec.parse_login(written), login)

    @untimed
    @given(st.text(min_size=1, max_size=300))
    def test_round_trip(self, password: str) -> None:
        """Every password is read as it was written, or refused."""
        try:
            codec.check_login(Login("a", password))
        except BadDetails:
            return
        login = Login("a", password)
        self.assertEqual(codec.parse_login(codec.format_login(login)), login)

    def test_bad(self) -> None:
        """What is no user, or no password."""
        for argument in (
            *(b"", b"a", b";", b"a;", b";b", b" a;b", b"a ;b", b"a/b;c", b"a\n;b", b"\xff;b"),
            *(b"x" * 65 + b";b", b"a;" + b"x" * 1025, "é;b".encode(), b"a;" + b"\xff"),
            *(b"a;b\xed\xa0\x80", b"a;b\0", b"a;b\r", b"a;\x1b[2J", b"a;\x7f", "a;\x9b".encode()),
        ):
            self.assertRaises(BadDetails, codec.parse_login, argument)

    def test_not_shown(self) -> None:
        """What is printed of a login has no password in it."""
        self.assertNotIn("secret", repr(Login("a", "secret")))


class AnyBytesTests(SynchronousTestCase):
    """Every parser, and bytes that nobody chose."""

    @settings(untimed, max_examples=500)
    @given(lines)
    def test_nothing_else_is_raised(self, line: bytes) -> None:
        """No bytes whatever make a parser raise anything but a request error."""
        for parse in PARSERS:
            try:
                parse(line)
            except RequestError as error:
                self.assertIn(error.symbol, REQUEST_ERRORS)

    def test_all_parsers_are_asked(self) -> None:
        """The list of parsers is the grammar's."""
        modules = (codec, model_names)
        found = {name for module in modules for name in vars(module) if name.startswith("parse_")}
        self.assertEqual(
            {parse.__name__ for parse in PARSERS} - {"payload_size"}, found | {"parse_command"}
        )

    @untimed
    @given(lines)
    def test_what_is_let_through_is_safe(self, line: bytes) -> None:
        """Whatever is read as an entry is written back as one line with the same meaning."""
        try:
            entry = codec.parse_entry(line)
        except RequestError:
            return
        written = codec.format_entry(entry)
        self.assertEqual(len(written.splitlines()), 1)
        self.assertEqual(codec.parse_entry(written), entry)
