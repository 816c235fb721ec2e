"""What `tta diagnose` trusts over TLS, and shows of itself."""

from __future__ import annotations

import argparse
import ssl
from pathlib import Path

HINT = "; --ca FILE names whom to trust"


class Unusable(Exception):
    """A certificate or key that can't be used."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    text = "whose certificates to trust (PEM), where the system doesn't know them"
    parser.add_argument("--ca", type=Path, metavar="FILE", help=text)
    text = "the certificate to show, with its key unless --certificate-key names that (PEM)"
    parser.add_argument("--certificate", type=Path, metavar="FILE", help=text)
    parser.add_argument("--certificate-key", type=Path, metavar="FILE", help="the certificate's key (PEM)")


def context_of(options: argparse.Namespace) -> ssl.SSLContext | None:
    """Return what TLS is to go by, None for what the system trusts; raises `Unusable`."""
    if options.certificate_key and not options.certificate:
        raise Unusable("--certificate-key is the key of a --certificate: give that, too")
    if not options.ca and not options.certificate:
        return None
    context = _made(options.ca)
    if options.certificate:
        try:
            # No password: it would be asked for on the terminal, in the event loop.
            context.load_cert_chain(options.certificate, options.certificate_key, password="")
        except (OSError, ValueError) as exc:
            raise Unusable(f"{options.certificate}: the certificate, or its key, can't be used: {_why(exc)}") from exc
    return context


def _made(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as exc:
        raise Unusable(f"{ca}: holds no certificates that can be used: {_why(exc)}") from exc


def _why(exc: Exception) -> str:
    reason = getattr(exc, "reason", None) or getattr(exc, "strerror", None)
    return str(reason or type(exc).__name__)
