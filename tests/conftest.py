"""What pytest needs beside trial: a place of its own for what trial's mktemp makes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture(autouse=True, scope="session")
def temporary_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """trial runs the tests in a directory of theirs; so does pytest with this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trial"))
        yield


STARTS_PROCESSES = (
    "tests.drills",
    "tests.support.console",
    "tests.support.forked",
    "tests.support.processes",
    "tests.support.programs",
)
"""Modules whose users start other programs, as those of the standard library's C{subprocess} do."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--in-process",
        action="store_true",
        help="run only the modules that start no other program",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--in-process"):
        return
    outside = {
        module
        for module in {item.getparent(pytest.Module) for item in items}
        if module is not None and starts_processes(module.obj)
    }
    left_out = [item for item in items if item.getparent(pytest.Module) in outside]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def starts_processes(module: ModuleType) -> bool:
    """Whether a test module uses anything that starts other programs."""
    return any(
        value is subprocess or str(getattr(value, "__module__", "")).startswith(STARTS_PROCESSES)
        for value in vars(module).values()
    )
