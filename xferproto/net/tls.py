"""Set up TLS for both ends, and explain its errors."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import VerificationError
from twisted.python.failure import Failure

from xferproto.model.errors import TLSFailed
from xferproto.net.certificates import Credential

CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
"""For TLS 1.2: forward secrecy and authenticated encryption, as TLS 1.3 always has."""

NOT_TLS = ("wrong version number", "packet length too long", "record layer failure", "http request")
"""Parts of OpenSSL's messages about bytes that are not TLS."""


def new_context(credential: Credential | None) -> SSL.Context:
    """
    Make a context for TLS 1.2 and newer, without compression, renegotiation and resumption.

    @param credential: the certificate to show, if any.
    """
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_NO_TICKET
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection holds none
    context.set_cipher_list(CIPHERS)
    if credential is not None:
        context.use_certificate(credential.certificate)
        for certificate in credential.chain:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(credential.key)
        context.check_privatekey()
    return context


def trust(context: SSL.Context, authorities: Sequence[x509.Certificate]) -> None:
    """Let a context accept these certificates, and those that they have signed."""
    store = context.get_cert_store()
    assert store is not None
    for certificate in authorities:
        store.add_cert(X509.from_cryptography(certificate))


def error_text(reason: Failure | None) -> str | None:
    """Return OpenSSL's message if TLS ended a connection, else None."""
    error = None if reason is None else reason.value
    if isinstance(error, VerificationError):
        return "certificate verify failed: it is for another name"
    if not isinstance(error, SSL.Error):
        return None
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    texts = [entry[-1] for entry in entries if isinstance(entry, tuple) and entry[-1]]
    return "; ".join(texts) or type(error).__name__


def failure_of(reason: Failure | None) -> TLSFailed | None:
    """
    Return the error that a client raises if TLS ended its connection, else None.

    With TLS 1.3, a server's refusal of the client's certificate comes after the client's handshake.
    """
    text = error_text(reason)
    if text is None:
        return None
    if any(words in text for words in NOT_TLS):
        return TLSFailed("What is there does not speak TLS; ask for its TLS port, or go without.")
    if "certificate required" in text:
        return TLSFailed("The server wants a certificate from the client.")
    if "alert" in text and ("certificate" in text or "unknown ca" in text):
        return TLSFailed(f"The server refuses the client's certificate ({text}).")
    if "certificate verify failed" in text:
        return TLSFailed(f"The server's certificate is not trusted ({text}).")
    if "protocol version" in text or "unsupported protocol" in text or "no shared" in text:
        return TLSFailed(f"The two ends have no version of TLS, or no cipher, in common ({text}).")
    return TLSFailed(f"TLS failed ({text}).")
