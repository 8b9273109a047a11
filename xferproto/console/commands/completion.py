"""C{xfer completion}: print the completion script for a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from xferproto.console.options import Chosen, command

SHELLS = ("bash", "zsh", "fish")

VARIABLE = "_XFER_COMPLETE"
"""The variable by which click knows that it is to complete."""


@command(
    "completion",
    epilog="""\b
To install it:
  bash   xfer completion bash > ~/.local/share/bash-completion/completions/xfer
  zsh    xfer completion zsh > ~/.zfunc/_xfer
         and in ~/.zshrc: fpath+=~/.zfunc; autoload -Uz compinit; compinit
  fish   xfer completion fish > ~/.config/fish/completions/xfer.fish

To try it:
  bash   eval "$(xfer completion bash)"

It completes commands, options, files, and the names of servers in config.toml.""",
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell."""
    root = ctx.find_root()
    ctx.ensure_object(Chosen)
    made = get_completion_class(shell)
    assert made is not None  # click has all three
    click.echo(made(root.command, {}, "xfer", VARIABLE).source())
