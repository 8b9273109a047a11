"""The commands of the line protocol, each with the function that serves it."""

from __future__ import annotations

from collections.abc import Mapping

from xferproto.model.identity import Right
from xferproto.model.names import parse_prefix
from xferproto.server.line.command_reader import CommandForm
from xferproto.server.line.contents import delete, stat, verify
from xferproto.server.line.download import download
from xferproto.server.line.listing import list_damaged, list_files
from xferproto.server.line.login import log_in
from xferproto.server.line.plain import leave, no_argument, send_help
from xferproto.server.line.resume import resume
from xferproto.server.line.upload import upload
from xferproto.wire import codec
from xferproto.wire.commands import Command

FORMS: Mapping[Command, CommandForm] = {
    Command.LIST_FILES: CommandForm(list_files, parse_prefix, Right.LIST),
    Command.UPLOAD: CommandForm(upload, codec.parse_upload, Right.WRITE),
    Command.RESUME: CommandForm(resume, codec.parse_resume, Right.WRITE),
    Command.DOWNLOAD: CommandForm(download, codec.parse_range, Right.READ),
    Command.STAT: CommandForm(stat, codec.parse_id, Right.LIST),
    Command.VERIFY: CommandForm(verify, codec.parse_id, Right.READ),
    Command.DELETE: CommandForm(delete, codec.parse_deletion, Right.DELETE),
    Command.LOGIN: CommandForm(log_in, codec.parse_login, secret=True),
    Command.HELP: CommandForm(send_help, no_argument),
    Command.QUIT: CommandForm(leave, no_argument),
    Command.LIST_DAMAGED: CommandForm(list_damaged, parse_prefix, Right.LIST),
}
"""Every command, and how it is served."""
