"""The package, built and installed: the plugins are there, wherever twistd is started."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PROJECT = Path(__file__).parents[2]

GENERATED = (
    ".git",
    *(
        line.strip("/")
        for line in (PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith(("#", "!", "/storage"))
    ),
)
"""What lies in a checkout and is not of the project, as patterns of names."""

PATIENCE = 300
"""Seconds after which a command that hangs is killed."""


class PackagesTests(SynchronousTestCase):
    """The list of packages in setup.cfg."""

    def test_all(self) -> None:
        """Every package is in it: one that is not would be missing in a wheel alone."""
        settings = configparser.ConfigParser()
        settings.read(PROJECT / "setup.cfg", encoding="utf-8")
        listed = settings["options"]["packages"].split()
        found = {
            ".".join(path.parent.relative_to(PROJECT).parts)
            for path in (PROJECT / "xferproto").rglob("*.py")
        }
        self.assertEqual(listed, [*sorted(found), "twisted.plugins"])


class InstallTests(SynchronousTestCase):
    """An sdist, its wheel and an editable copy, one after the other in one fresh environment."""

    def setUp(self) -> None:
        # Far from the project, so that nothing is found that is not installed.
        self.directory = Path(tempfile.mkdtemp(prefix="xfer-install-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.elsewhere = self.directory / "elsewhere"
        self.elsewhere.mkdir()
        self.copy = self.directory / "copy"
        ignored = shutil.ignore_patterns(*GENERATED)
        shutil.copytree(PROJECT, self.copy, ignore=ignored)
        venv.create(self.directory / "venv", symlinks=True)
        self.python = self.directory / "venv" / "bin" / "python"

    def run_ok(self, *command: str | Path, directory: Path | None = None) -> str:
        """Run a command, far from the project by default: what it wrote, when its status is 0."""
        ended = subprocess.run(
            list(map(str, command)),
            cwd=directory or self.elsewhere,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(Path.home()),
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            },
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        return ended.stdout + ended.stderr

    def pip(self, *arguments: str | Path) -> None:
        """This Python's pip, at work on the fresh environment."""
        pip = (sys.executable, "-m", "pip", "--python", self.python, "--quiet")
        self.run_ok(*pip, *arguments)

    def plugins(self) -> list[str]:
        """Those of our plugins that C{twistd --help} shows; it must not show a traceback."""
        shown = self.run_ok(self.python.with_name("twistd"), "--help")
        self.assertNotIn("Traceback", shown)
        self.assertIn("Commands:", shown)
        words = [line.split()[0] for line in shown.splitlines() if line.split()]
        return sorted(word for word in words if word.startswith("xfer"))

    def plugin_files(self) -> list[str]:
        """Our plugin files in the environment, compiled ones too."""
        return [path.name for path in (self.directory / "venv").rglob("*xfer*plugin*")]

    def sdist(self) -> Path:
        """An archive of the sources, from the copy of the project."""
        build = "import sys, setuptools.build_meta as b; b.build_sdist(sys.argv[1])"
        self.pip("install", "setuptools>=68")
        self.run_ok(self.python, "-c", build, self.directory, directory=self.copy)
        (archive,) = self.directory.glob("xferproto-*.tar.gz")
        return archive

    def test_sdist_wheel_and_editable(self) -> None:
        """All three can be installed and show the plugins; none leaves anything when it goes."""
        sdist = self.sdist()
        with tarfile.open(sdist) as archive:
            packed = {name.partition("/")[2] for name in archive.getnames()}
        sources = {
            str(path.relative_to(self.copy)) for path in self.copy.rglob("*") if path.is_file()
        }
        left_out = {name for name in sources - packed if not name.startswith("storage/")}
        self.assertEqual({name for name in left_out if ".egg-info/" not in name}, set())
        self.assertEqual(
            {name for name in packed if name.startswith("storage/")}, {"storage/README.md"}
        )

        self.pip("wheel", "--no-deps", "--wheel-dir", self.directory, sdist)
        (wheel,) = self.directory.glob("xferproto-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
        for name in (
            "xferproto/py.typed",
            "xferproto/client/picture.png",
            "xferproto/server/service.py",
            "twisted/plugins/xfer_plugin.py",
        ):
            self.assertIn(name, names)
        # The whole package, and nothing that would hide Twisted's own or does not belong.
        modules = {
            str(path.relative_to(self.copy))
            for part in ("xferproto", "twisted")
            for path in (self.copy / part).rglob("*.py")
        }
        self.assertEqual({name for name in names if name.endswith(".py")}, modules)
        self.assertNotIn("twisted/__init__.py", names)
        self.assertNotIn("twisted/plugins/__init__.py", names)
        self.assertEqual(
            {name.split("/")[0] for name in names if ".dist-info/" not in name},
            {"xferproto", "twisted"},
        )

        self.pip("install", wheel)
        self.assertEqual(self.plugins(), ["xfer", "xfer-client"])
        version = self.run_ok(
            self.python, "-c", "import xferproto; print(xferproto.__file__, xferproto.__version__)"
        )
        self.assertIn(str(self.directory / "venv"), version)

        xfer = self.python.with_name("xfer")
        self.assertIn(" 0.", self.run_ok(xfer, "--version"))
        self.assertIn("Examples:", self.run_ok(xfer, "put", "-h"))

        self.pip("uninstall", "--yes", "xferproto")
        self.assertEqual(self.plugins(), [])
        self.assertEqual(self.plugin_files(), [])

        self.pip("install", "--no-deps", "--editable", self.copy)
        self.assertEqual(self.plugins(), ["xfer", "xfer-client"])
        self.run_ok(self.python.with_name("twistd"), "xfer-client", "--help")
        self.pip("uninstall", "--yes", "xferproto")
        self.assertEqual(self.plugins(), [])
        self.assertEqual(self.plugin_files(), [])
