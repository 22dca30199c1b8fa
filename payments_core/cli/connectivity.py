"""Find out why a gateway cannot be reached: its name, its port or its certificate."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

from payments_core.tls import fresh_ssl_context

__all__ = ["connection_problem"]

_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def connection_problem(url: str, seconds: float, *, setting: str = "base_url", ca_file: str = "") -> tuple[str, str]:
    """Try a direct connection, and return the problem and the advice, or two `""`.

    Never name the host: a secret may have been pasted into the setting.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return (
            f"DNS: the host of {setting} has no address",
            f"Is it spelled right, and can this machine resolve names?{_proxy()}",
        )
    try:
        connection = socket.create_connection((host, port), timeout=seconds)
    except OSError as error:
        problem = "no answer" if isinstance(error, TimeoutError) else error.strerror or type(error).__name__
        advice = f"Is the port right, and does a firewall let this machine out?{_proxy()}"
        return f"TCP: no connection to port {port} of {setting}'s host: {problem}", advice
    with connection:
        return _tls_problem(connection, host, ca_file) if parts.scheme == "https" else ("", "")


def _tls_problem(connection: socket.socket, host: str, ca_file: str) -> tuple[str, str]:
    try:
        fresh_ssl_context(ca_file or None).wrap_socket(connection, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return (
            f"TLS: the certificate is not trusted: {error.verify_message}",
            "Is this machine's clock right? If your company's proxy signs certificates, set `ca_file` to its CA file.",
        )
    except OSError as error:  # ssl.SSLError is one
        reason = getattr(error, "reason", "") or type(error).__name__
        return f"TLS: the handshake failed: {reason}", "Does base_url begin with https although the server speaks http?"
    return "", ""


def _proxy() -> str:
    set_here = next((name for name in _PROXIES if os.environ.get(name)), "")
    if not set_here:
        return ""
    return f" {set_here} is set here, and gateways ignore it: set `proxy`."
