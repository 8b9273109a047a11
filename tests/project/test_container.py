"""Containerfile and compose.yaml: they agree, and the programs take what they are given."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from xferproto.console.main import xfer
from xferproto.server.service import Options

PROJECT = Path(__file__).resolve().parents[2]

INSTRUCTIONS = {
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "RUN",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
}
"""Those that the Containerfile may have (Containerfile(5))."""


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile, in order, each with its arguments."""
    lines = (PROJECT / "Containerfile").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in kept]


def last(instruction: str) -> str:
    """The arguments of the last instruction of a kind."""
    return [arguments for name, arguments in instructions() if name == instruction][-1]


def service() -> dict[str, Any]:
    """The service of compose.yaml."""
    document = yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = document["services"]["xfer"]
    return found


class ContainerfileTests(SynchronousTestCase):
    """The Containerfile."""

    def test_instructions(self) -> None:
        """Each line is an instruction that these tests know; the image's name has no host."""
        self.assertEqual({name for name, _ in instructions()} - INSTRUCTIONS, set())
        for name, arguments in instructions():
            if name == "FROM":
                self.assertRegex(arguments, r"^python:3\.[0-9]+-slim( AS build)?$")

    def test_copied(self) -> None:
        """What is copied from the project is there, let through by .dockerignore, and enough."""
        copied = {
            source
            for name, arguments in instructions()
            if name == "COPY" and not arguments.startswith("--from")
            for source in arguments.split()[:-1]
        }
        self.assertEqual(
            copied, {"setup.cfg", "pyproject.toml", "README.md", "xferproto", "twisted"}
        )
        for source in copied:
            self.assertTrue((PROJECT / source).exists(), source)
        let_through = (PROJECT / ".dockerignore").read_text(encoding="utf-8").split()
        self.assertEqual({line[1:] for line in let_through if line.startswith("!")}, copied)

    def test_user(self) -> None:
        """The server runs as the user that is made, given by its number, and not as root."""
        self.assertGreater(int(last("USER")), 0)
        made = [arguments for name, arguments in instructions() if name == "RUN"][-1]
        self.assertIn(f"--uid {last('USER')} ", made)

    def test_command(self) -> None:
        """twistd takes the command; all that the server writes or reads lies in the volumes."""
        entry, command = json.loads(last("ENTRYPOINT")), json.loads(last("CMD"))
        self.assertEqual(entry, ["twistd", "--nodaemon", "--pidfile=", "xfer"])
        options = Options()
        options.parseOptions(command)
        self.assertEqual(str(options["port"]), last("EXPOSE"))
        self.assertEqual(options["interface"], "0.0.0.0")
        volumes = json.loads(last("VOLUME"))
        for name in ("storage", "users", "tls-cert", "tls-key"):
            self.assertIn(str(Path(options[name]).parent), volumes, name)

    def test_health(self) -> None:
        """xfer takes the command that looks whether the server answers, over TLS."""
        match = re.fullmatch(r"--interval=[0-9]+[sm] CMD (\[.*\])", last("HEALTHCHECK"))
        assert match is not None
        program, *arguments = json.loads(match[1])
        self.assertEqual(program, "xfer")
        context = xfer.make_context(program, list(arguments))
        self.assertEqual(arguments[0], "ping")
        command = xfer.get_command(context, "ping")
        assert command is not None
        command.make_context("ping", arguments[1:], parent=context)
        options = Options()
        options.parseOptions(json.loads(last("CMD")))
        self.assertIn(str(options["tls-cert"]), arguments)


class ComposeTests(SynchronousTestCase):
    """compose.yaml."""

    def test_agrees(self) -> None:
        """Port and volumes are those of the Containerfile, and every volume is declared."""
        document = yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))
        self.assertEqual(service()["ports"], [f"{last('EXPOSE')}:{last('EXPOSE')}"])
        mounted = dict(volume.split(":") for volume in service()["volumes"])
        self.assertEqual(list(mounted.values()), json.loads(last("VOLUME")))
        self.assertEqual(document["volumes"], dict.fromkeys(mounted))
        self.assertTrue((PROJECT / service()["build"]["dockerfile"]).is_file())

    def test_confined(self) -> None:
        """The container has no capability, gains none, and writes only where it should."""
        self.assertEqual(service()["cap_drop"], ["ALL"])
        self.assertEqual(service()["security_opt"], ["no-new-privileges:true"])
        self.assertTrue(service()["read_only"])

    def test_accepted(self) -> None:
        """Where Docker Compose is installed, it accepts the file."""
        try:
            subprocess.run(["docker", "compose", "version"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise SkipTest("Docker Compose is not installed") from None
        ended = subprocess.run(
            ["docker", "compose", "-f", str(PROJECT / "compose.yaml"), "config", "--quiet"],
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
