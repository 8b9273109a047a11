"""Stand for the sender of an upload, as the depot calls it back."""

from __future__ import annotations


class Uploader:
    """
    Stand for the sender of an upload. A front overrides what concerns it.
    """

    def drained(self) -> None:
        """Write on: the upload is full no longer."""

    def failed(self) -> None:
        """Write no more: finishing the upload raises the reason."""

    def waits(self) -> bool:
        """Return whether the next step is the sender's, and not the depot's."""
        return True

    def probe(self) -> None:
        """Find out whether the sender is there: another one wants the token of its upload."""


PATIENT = Uploader()
"""The sender of a content that is in memory, which needs no callbacks."""
