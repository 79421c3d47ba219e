"""What a port with TLS needs, from its PEM files."""

import ssl

from iii_cluster.config.settings import Tls

from .files import Unreadable, content_of, unreadable

_KEY = b"PRIVATE KEY-----"


class TlsError(OSError):
    """The files cannot be used; the text says which and why, in one line."""

    def __str__(self) -> str:
        return str(self.args[0])


def server_context(tls: Tls) -> ssl.SSLContext:
    """Raises TlsError when the files cannot be read or do not belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    key_file = tls.key_file or tls.cert_file
    try:
        context.load_cert_chain(tls.cert_file, key_file, _no_password)
    except _Encrypted:
        raise TlsError(f"TLS: the key in {key_file} is encrypted; give one without a password") from None
    except ssl.SSLError as error:
        raise TlsError(_why_unfit(tls, key_file, error)) from None
    except OSError as error:
        raise _unreadable(error, _missing(tls.cert_file, key_file)) from None
    if tls.client_ca_file:
        _ask_for_certificates(context, tls.client_ca_file)
    return context


def _why_unfit(tls: Tls, key_file: str, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"TLS: the key in {key_file} is not that of the certificate in {tls.cert_file}"
    if not tls.key_file and not _has_key(tls.cert_file):
        return f"TLS: {tls.cert_file} has no key in it; is tls_key_file missing?"
    files = tls.cert_file if key_file == tls.cert_file else f"{tls.cert_file} and {key_file}"
    return f"TLS: no usable certificate and key in PEM form in {files} ({error.reason or error})"


def _has_key(path: str) -> bool:
    try:
        return _KEY in content_of(path)
    except Unreadable:
        return False


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


def _missing(*paths: str) -> str:
    """The first of them that cannot be read: OpenSSL's errors do not say which."""
    for path in paths:
        try:
            content_of(path)
        except Unreadable:
            return path
    return paths[0]


def _unreadable(error: OSError, path: str) -> TlsError:
    error.filename = error.filename or path
    return TlsError(f"TLS: {unreadable(error)}")


class _Encrypted(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal."""
    raise _Encrypted
