"""C{xfer login}: store a password in the keyring, after the depot has accepted it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from xferproto import prompt
from xferproto.console.config.password import INSTALL, ask, checked, keyring, service
from xferproto.console.config.settings import Settings
from xferproto.console.options import Chosen, command
from xferproto.console.session import Session, run
from xferproto.console.ui.advice import LocalRefusal
from xferproto.console.ui.output import Output
from xferproto.model.escape import printable


@command(
    "login",
    epilog="""\b
Examples:
  xfer -s lab login                   ask for the password, try it, and store it
  xfer login -u alice -s depot.example:9000 --tls
  xfer -s lab login --forget          remove it from the keyring

If a user is given (--user, XFER_USER, or user in config.toml), xfer takes the password from the
first line of --password-file, else from the variable XFER_PASSWORD, else from the keyring, else it
asks at the terminal. There is no option for the password itself, because other users can read
command lines. xfer sends it over TLS, or within one machine, only.

The keyring is the desktop's, or what the Python package keyring is configured for; it is installed
with pip install 'xferproto[keyring]'.""",
)
@click.option("--forget", is_flag=True, help="Remove the password from the keyring.")
@click.pass_obj
def login(chosen: Chosen, forget: bool) -> None:
    """Ask for a password, try it at the depot, and store it in the keyring."""
    settings = chosen.settings()
    output = Output(settings.server, settings.json, settings.quiet)
    package = keyring()
    if package is None:
        output.failed(
            "",
            LocalRefusal(
                "there is no keyring on this machine",
                f"install one ({INSTALL}), or use --password-file or XFER_PASSWORD",
            ),
        )
        sys.exit(1)
    settings = replace(settings, user=settings.user or _ask_user())
    if forget:
        _forget(package, settings, output)
    assert settings.user is not None
    password = ask(f"Password of {printable(settings.user)} at {settings.server}: ")
    credentials = checked(settings.user, password)
    run(settings, lambda session: _keep(session, package, credentials), credentials)


def _ask_user() -> str:
    try:
        return prompt.ask("User: ").strip()
    except (OSError, EOFError):
        raise click.UsageError("no user name; give --user NAME") from None
    except UnicodeDecodeError:
        raise click.UsageError("the user name is not UTF-8") from None


async def _keep(session: Session, package: Any, credentials: tuple[str, str]) -> None:
    await session.connect()  # and log in
    user, password = credentials
    where = service(session.settings)
    try:
        await session.executor.run(package.set_password, where, user, password)
    except Exception as error:  # every keyring has its own
        raise LocalRefusal(
            f"the password is right, but the keyring does not store it ({_reason(error)})",
            "unlock it, or use --password-file",
        ) from None
    session.output.result(
        f"logged in as {session.output.shown(user)}; the password is in the keyring, as {where}",
        event="login",
        server=session.settings.server,
        user=user,
        service=where,
    )


def _forget(package: Any, settings: Settings, output: Output) -> None:
    """Remove the password from the keyring, and end the process."""
    where = service(settings)
    user = printable(settings.user or "")
    try:
        if package.get_password(where, settings.user) is None:
            raise LocalRefusal("the keyring has no such password", "check --user, -s and --host")
        package.delete_password(where, settings.user)
    except LocalRefusal as error:
        output.failed(f"{user} at {where}", error)
        sys.exit(1)
    except Exception as error:  # every keyring has its own
        refusal = LocalRefusal(f"the keyring refuses ({_reason(error)})", "unlock it")
        output.failed(f"{user} at {where}", refusal)
        sys.exit(1)
    output.result(
        f"the password of {user} is no longer in the keyring",
        event="forgotten",
        server=settings.server,
        user=settings.user,
        service=where,
    )
    sys.exit(0)


def _reason(error: Exception) -> str:
    return printable(str(error)) or type(error).__name__
