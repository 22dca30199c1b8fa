"""Make the TLS contexts of transports: certificates are always verified, and environment variables are ignored."""

from __future__ import annotations

import functools
import ssl

import httpx

from .errors import ConfigurationError

__all__ = ["client_context", "fresh_ssl_context"]


@functools.cache
def _shared_ssl_context() -> ssl.SSLContext:
    # Loading the CA bundle takes tens of milliseconds: once a process is enough.
    return fresh_ssl_context(None)


def fresh_ssl_context(cafile: str | None) -> ssl.SSLContext:
    """Return a context that trusts this CA file, or the usual authorities, and leaves the environment alone."""
    context = ssl.create_default_context(cafile=cafile) if cafile else httpx.create_ssl_context(trust_env=False)
    # The environment is never looked at: SSLKEYLOGFILE would write the keys of every connection to a file.
    context.keylog_filename = None  # type: ignore[assignment]
    return context


def client_context(cert: str | tuple[str, str] | None, verify: object) -> ssl.SSLContext:
    """Return a context that verifies the server and shows the certificate `cert`; raise `ConfigurationError`."""
    problem, context = "", _shared_ssl_context()
    try:
        if isinstance(verify, ssl.SSLContext):
            context = verify
        elif verify is None or verify is True:
            context = fresh_ssl_context(None) if cert else context
        elif isinstance(verify, str):
            context = fresh_ssl_context(verify)
        else:
            problem = "verify is a CA file's path or an ssl.SSLContext: certificates are always verified"
        if not problem and cert is not None:
            context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    except (OSError, ValueError, TypeError) as exc:  # ssl.SSLError is an OSError
        problem = f"the certificates that verify and cert name cannot be used ({type(exc).__name__})"
    if not problem and (context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname):
        problem = (
            "this ssl.SSLContext does not verify who answers: set check_hostname, and verify_mode to CERT_REQUIRED"
        )
    if problem:
        raise ConfigurationError(problem)
    return context
