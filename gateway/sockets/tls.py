"""What a port proves who it is with: PEM files, read again when they change.

A server keeps the context it was started with. What was read last is put in its place at the beginning of every
handshake, so new connections get the new certificate and open ones live on.
"""

import logging
import ssl

from iii_cluster.config.settings import Tls

from .files import Unreadable, WatchedFiles, unreadable

log = logging.getLogger(__name__)


class TlsError(OSError):
    """The files cannot be used; the text says which and why, in one line."""

    def __str__(self) -> str:
        return str(self.args[0])


class TlsFiles:
    """The context of one port. Raises TlsError when the files cannot be read or do not belong together."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        try:
            self._files = WatchedFiles((tls.cert_file, tls.key_file, tls.client_ca_file))
        except Unreadable as error:
            raise TlsError(f"TLS: {error}") from None
        self._latest = _context(tls)
        self.context = _context(tls)
        """For servers; the same object for as long as the port lives."""
        self.context.sni_callback = self._renew

    def tick(self, now: float) -> None:
        """Read the files again if they have changed; what cannot be used is logged once, and the old ones stay."""
        try:
            if self._files.changed(now) is None:
                return
            self._latest = _context(self._tls)
        except (Unreadable, TlsError) as error:
            log.error("action=tls_reload_failed reason=%s; what was read before stays in use", error)
        else:
            log.info("action=tls_reloaded cert=%s", self._tls.cert_file)

    def _renew(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called in every handshake of `context`, also when the client names no server."""
        connection.context = self._latest


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    key_file = tls.key_file or tls.cert_file
    try:
        context.load_cert_chain(tls.cert_file, key_file, _no_password)
    except _Encrypted:
        raise TlsError(f"TLS: the key in {key_file} is encrypted; give one without a password") from None
    except ssl.SSLError as error:
        raise TlsError(_why_unfit(tls.cert_file, key_file, error)) from None
    except OSError as error:
        raise _unreadable(error, tls.cert_file) from None
    if tls.client_ca_file:
        _ask_for_certificates(context, tls.client_ca_file)
    return context


def _why_unfit(cert_file: str, key_file: str, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"TLS: the key in {key_file} is not that of the certificate in {cert_file}"
    files = cert_file if key_file == cert_file else f"{cert_file} and {key_file}"
    return f"TLS: no usable certificate and key in PEM form in {files} ({error.reason or error})"


def _ask_for_certificates(context: ssl.SSLContext, ca_file: str) -> None:
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise TlsError(f"TLS: no certificates in PEM form in {ca_file} ({error.reason or error})") from None
    except OSError as error:
        raise _unreadable(error, ca_file) from None
    context.verify_mode = ssl.CERT_REQUIRED
    # Whoever resumes a session shows no certificate: it would get in after its authority was taken off the file.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _unreadable(error: OSError, path: str) -> TlsError:
    """OpenSSL's errors do not say which file."""
    error.filename = error.filename or path
    return TlsError(f"TLS: {unreadable(error)}")


class _Encrypted(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal."""
    raise _Encrypted
