"""The files of a depot that an argument of a command means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from xferproto.console.transfers.ambiguity import Depot, Meant, status_of
from xferproto.console.transfers.damaged import list_all
from xferproto.model.entry import Entry
from xferproto.model.errors import NoSuchFile
from xferproto.model.escape import quoted


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """
    A file of the depot.

    @ivar entry: its id, name and size.
    @ivar relative: its path below the directory that it is fetched to: its name without the
        directories above the one that was asked for.
    @ivar damaged: whether its stored bytes are known to be damaged: it can't be fetched.
    """

    entry: Entry
    relative: str
    damaged: bool = False


async def resolve(
    client: Depot, what: str, note: Callable[[str], None], meant: Meant = None
) -> list[RemoteFile]:
    """
    Return the files that an argument means: the one with this id, else with this name, else all
    below a directory of this name, else all whose names begin with it. An empty argument means
    every file.

    If a name has several contents, the one that was stored last is meant; but if one of them is
    damaged, that one, as nobody knows whether an older one would do.

    @param note: called with a note about names with several contents, and an id that is a name too.
    @param meant: whether the argument is an id or a name; None for either.
    @return: one file for each name, in name order; never empty.
    @raise NoSuchFile: there is no such file.
    @raise Corrupt: the argument is the id of a content that is known to be damaged.
    """
    if (status := await status_of(client, what, meant, note)) is not None:
        return [RemoteFile(status.entries[0], _last_component(status.entries[0].name))]
    entries, damaged = await list_all(client, what)
    found = among(entries, what)
    note_directory(entries, what, note)
    if not found and what:
        raise NoSuchFile(f"Nothing is stored under {quoted(what)}.")
    above = what.rstrip("/").rpartition("/")[0]
    return [
        RemoteFile(
            entry,
            entry.name.removeprefix(f"{above}/") if above else entry.name,
            entry in damaged,
        )
        for entry in await _newest(client, found, damaged, note)
    ]


def among(entries: Iterable[Entry], what: str) -> list[Entry]:
    """Of the entries whose names begin with an argument, return those that it means as a name."""
    below = what if what.endswith("/") else f"{what}/"
    named, inside, beginning = [], [], []
    for entry in entries:
        if entry.name == what:
            named.append(entry)
        elif entry.name.startswith(below):
            inside.append(entry)
        else:
            beginning.append(entry)
    return named or inside or beginning


def note_directory(entries: Iterable[Entry], what: str, note: Callable[[str], None]) -> None:
    """Note that an argument is a name, and the directory of other names too."""
    names = {entry.name for entry in entries}
    if what in names and (count := sum(name.startswith(f"{what}/") for name in names)):
        others = "1 name" if count == 1 else f"{count:,} names"
        note(
            f"{quoted(what)} is a name, and a directory of {others}; this is the name alone. "
            f"Give {quoted(f'{what}/')} for the directory."
        )


async def _newest(
    client: Depot,
    entries: Iterable[Entry],
    damaged: Collection[Entry],
    note: Callable[[str], None],
) -> list[Entry]:
    """Return one entry for each name: a damaged one, or the one that was stored last."""
    contents: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        contents[entry.name].append(entry)
    chosen = []
    for name, candidates in contents.items():
        entry = candidates[0]
        if len(candidates) > 1:
            broken = [one for one in candidates if one in damaged]
            if broken:
                entry, which = broken[0], "one is damaged"
            else:
                stored = [((await client.stat(one.id)).stored, one.id, one) for one in candidates]
                entry, which = max(stored)[2], "this is the one stored last"
            others = ", ".join(one.id for one in candidates if one is not entry)
            note(
                f"{quoted(name)} has {len(candidates)} contents; {which}, {entry.id}. "
                f"By their ids there are {others}."
            )
        chosen.append(entry)
    return chosen


def _last_component(name: str) -> str:
    return name.rpartition("/")[2]
