"""curl, the client of the HTTP and FTP servers."""

from __future__ import annotations

from pathlib import Path

from bench.contents import Batch

CURL = ("curl", "--silent", "--show-error", "--fail", "--disable")


def upload(source: Path, url: str) -> list[str]:
    """Send a file."""
    return [*CURL, "--upload-file", str(source), url]


def download(url: str, target: Path) -> list[str]:
    """Fetch a file."""
    return [*CURL, "--output", str(target), url]


def upload_all(batch: Batch, url: str, settings: Path) -> list[str]:
    """
    Send many files over one connection.

    @param url: of their directory, with the slash.
    @param settings: the file to write the list of them into.
    """
    settings.write_text(
        "".join(
            f'upload-file = "{batch.directory / name}"\nurl = "{url}{name}"\n' for name in batch.ids
        )
    )
    return [*CURL, "--config", str(settings)]


def download_all(batch: Batch, url: str, target: Path, settings: Path) -> list[str]:
    """Fetch many files over one connection; the same parameters."""
    settings.write_text(
        "".join(f'output = "{target / name}"\nurl = "{url}{name}"\n' for name in batch.ids)
    )
    return [*CURL, "--config", str(settings)]
