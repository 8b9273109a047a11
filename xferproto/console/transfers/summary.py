"""The summary of a C{put} or C{get}: counts of files and bytes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from xferproto.model.units import readable_size


@dataclass(slots=True)
class Summary:
    """
    Count files by their outcome.

    @ivar done: those that were transferred, or were there already under another name.
    @ivar moved: the bytes that went over the wire for them.
    @ivar present: those that were there already.
    @ivar kept: the bytes of these.
    @ivar failed: those that could not be transferred, and the paths and names without a file.
    @ivar unfinished: those that are left to be done, where the whole ended early.
    @ivar left_out: what is not transferred by rule, by kind.
    """

    done: int = 0
    moved: int = 0
    present: int = 0
    kept: int = 0
    failed: int = 0
    unfinished: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def fields(self) -> dict[str, object]:
        """Return the counts as JSON fields."""
        return {
            "files": self.done + self.present + self.failed + self.unfinished,
            "done": self.done,
            "moved": self.moved,
            "present": self.present,
            "kept": self.kept,
            "failed": self.failed,
            "unfinished": self.unfinished,
            "left_out": dict(self.left_out),
        }

    def text(self, done: str, moved: str, present: str) -> str:
        """
        Return the counts as a line of text.

        @param done: what was done with files, as in C{stored}.
        @param moved: what was done with bytes, as in C{sent}.
        @param present: the words for those that were there already.
        """
        parts = []
        if self.done or not self.present:
            parts.append(f"{_files(self.done)} {done} ({readable_size(self.moved)} {moved})")
        if self.present:
            count = f"{self.present:,}" if parts else _files(self.present)
            parts.append(f"{count} {present} ({readable_size(self.kept)})")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.unfinished:
            parts.append(f"{self.unfinished:,} unfinished")
        if self.left_out:
            kinds = ", ".join(_counted(count, kind) for kind, count in self.left_out.items())
            parts.append(f"left out: {kinds}")
        return "; ".join(parts)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _counted(count: int, kind: str) -> str:
    if count == 1:
        return f"1 {kind}"
    return f"{count:,} {kind.removesuffix('y')}ies" if kind.endswith("y") else f"{count:,} {kind}s"
