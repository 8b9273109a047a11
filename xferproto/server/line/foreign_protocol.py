"""
Lines of other protocols: their peer does not know that it talks to a depot, and what it sends on
may be somebody else's.

A browser lets a page POST to a port of this machine; the body is the page's. The same goes for
whatever forwards mail, logs, requests or certificates. Nothing here imports Twisted.
"""

from __future__ import annotations

import re

from xferproto.wire.commands import Command

_METHOD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TARGET = rb"(?:/|[a-z][a-z0-9+.-]*://)"

_HTTP_REQUEST = re.compile(
    _METHOD + rb"\s+" + _TARGET + rb".*\sHTTP/[0-9.]+", re.IGNORECASE | re.DOTALL
)
"""A request line for a path or a URL, RFC 9112 section 3: no request of ours is one."""

_HTTP_VERSION = re.compile(rb"\sHTTP/[0-9.]+\Z", re.IGNORECASE)

_SIGNATURES = (
    # HTTP and what is modelled on it (RTSP, SIP, ICAP, spamd, the preface of HTTP/2)
    rb"(?s:.*)\s(?:HTTP/[0-9.]+|(?-i:[A-Z]{2,}/[0-9]+\.[0-9]+))\Z",
    rb"(?:GET|HEAD|POST|PUT|PATCH|OPTIONS|TRACE)\s+(?:\*|" + _TARGET + rb")",
    rb"Host\s*:",
    rb"\x16\x03",  # a TLS record with a ClientHello
    rb"SSH-[0-9]",
    rb"(?:EHLO|HELO|LHLO)\b",  # SMTP, LMTP
    rb"(?:MAIL\s+FROM|RCPT\s+TO)\s*:",
    rb"(?:USER|PASS|ACCT|AUTH|APOP|CAPA|STLS|STARTTLS)(?:\s|\Z)",  # FTP, POP3, IRC
    rb"(?:NICK|CAP)\s",  # IRC
    rb"\S+\s+(?:CAPABILITY|AUTHENTICATE|STARTTLS|LOGIN)(?:\s|\Z)",  # IMAP, behind a tag
    rb"MODE\s+READER\b",  # NNTP
    rb"PROXY\s",  # HAProxy's, where none is expected
    rb"[*$%~>][0-9]+\Z",  # Redis
    rb"(?:set|add|replace|append|prepend|cas|put)(?:\s+\S+)?(?:\s+-?[0-9]+){3,}",  # memcached …
    rb"ms\s+\S+\s+S?[0-9]+",  # … and beanstalkd
    rb"(?:CONNECT|STOMP)\s*(?:\{|\Z)",  # NATS, STOMP
    rb"[zn]INSTREAM",  # ClamAV
    rb"(?:[0-9]+\s+)?<(?:[0-9]{1,3}>|[?!/a-z])",  # syslog, XML
    rb"@RSYNCD:",
    rb"CLIENT\s",  # DICT
    rb"(?:%!PS|%PDF-|@PJL|\x1b%-12345X)",  # print jobs
)

_SIGNATURE = re.compile(rb"|".join(_SIGNATURES), re.IGNORECASE)

_OURS = "|".join(command.spellings[0] for command in Command).encode("ascii")

_FIELD = re.compile(rb"(?!(?:" + _OURS + rb"):)[a-z][a-z0-9-]*:", re.IGNORECASE)
"""A field of a header, as HTTP, mail, SIP and STOMP have them; a command with a colon is none."""

_CONTROL = re.compile(rb"[\x00-\x07\x0b\x0c\x0d\x0e-\x1a\x1c-\x1f]|\x1b(?![\[O])")
"""What no key of a terminal sends at a prompt, save by mistake; its arrows send ESC [ or ESC O."""

_SHORTEST = 3
"""Bytes of a line that can be told to be binary."""


def ends_as_http(line: bytes) -> bool:
    """Whether a line ends as an HTTP request does, which a request of ours may do as well."""
    return b"HTTP/" in line.upper() and _HTTP_VERSION.search(line.strip()) is not None


def is_http_request(line: bytes) -> bool:
    """Whether a line is an HTTP request for a path, though its method may be a command of ours."""
    return _HTTP_REQUEST.fullmatch(line.strip()) is not None


def is_signature(line: bytes) -> bool:
    """Whether a line, as an argument that is no good one, begins another protocol."""
    return _SIGNATURE.match(line.strip()) is not None


def is_foreign(line: bytes) -> bool:
    """Whether a line that is no command of ours is one of another protocol, and no typing error."""
    line = line.strip()
    return (
        _SIGNATURE.match(line) is not None
        or _FIELD.match(line) is not None
        or (len(line) >= _SHORTEST and _CONTROL.search(line) is not None)
    )
