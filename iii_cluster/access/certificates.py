"""What a port with TLS needs, from its PEM files."""

import ssl

from iii_cluster.config.settings import Tls

from .files import Unreadable, content_of, unreadable

CERT_FILE, KEY_FILE, CLIENT_CA_FILE = "cert_file", "key_file", "client_ca_file"  # as in Tls

_CERTIFICATE = b"CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"


class TlsError(OSError):
    """The files cannot be used; the text says which and why, in one line. `part` is which of Tls is at fault."""

    def __init__(self, text: str, part: str = CERT_FILE) -> None:
        super().__init__(text)
        self.part = part

    def __str__(self) -> str:
        return str(self.args[0])


def server_context(tls: Tls) -> ssl.SSLContext:
    """Raises TlsError when the files cannot be read or do not belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        show(context, tls.cert_file, tls.key_file)
        if tls.client_ca_file:
            _ask_for_certificates(context, tls.client_ca_file)
    except TlsError as error:
        raise TlsError(f"TLS: {error}", error.part) from None
    return context


def show(context: ssl.SSLContext, cert_file: str, key_file: str = "", how: str = "") -> None:
    """Have `context` show this certificate; its key may be in the same file, `how` tells the user to name another one.

    Raises TlsError.
    """
    key = key_file or cert_file
    try:
        context.load_cert_chain(cert_file, key, _no_password)
    except _Encrypted:
        raise TlsError(f"the key in {key} is encrypted; give one without a password", KEY_FILE) from None
    except ssl.SSLError as error:
        raise _unfit(cert_file, key_file, how, error) from None
    except OSError as error:
        path = _missing(cert_file, key)
        raise _unreadable(error, path, CERT_FILE if path == cert_file else KEY_FILE) from None


def _unfit(cert_file: str, key_file: str, how: str, error: ssl.SSLError) -> TlsError:
    if error.reason == "KEY_VALUES_MISMATCH":
        return TlsError(f"the key in {key_file or cert_file} is not that of the certificate in {cert_file}", KEY_FILE)
    if not _has(_CERTIFICATE, cert_file):
        return TlsError(f"{cert_file} has no certificate in it")
    if not key_file and not _has(_KEY, cert_file):
        return TlsError(f"{cert_file} has no key in it; name the file that has{how}", KEY_FILE)
    if key_file and not _has(_KEY, key_file):
        return TlsError(f"{key_file} has no key in it", KEY_FILE)
    why = error.reason or "not in PEM form"
    if _holds_certificates(cert_file):
        return TlsError(f"the key in {key_file or cert_file} cannot be used ({why})", KEY_FILE)
    return TlsError(f"the certificate in {cert_file} cannot be used ({why})")


def _has(mark: bytes, path: str) -> bool:
    try:
        return mark in content_of(path)
    except Unreadable:
        return False


def _holds_certificates(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:  # an SSLError is one
        return False
    return True


def _ask_for_certificates(context: ssl.SSLContext, ca_file: str) -> None:
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        why = error.reason or error
        raise TlsError(f"no certificates in PEM form in {ca_file} ({why})", CLIENT_CA_FILE) from None
    except OSError as error:
        raise _unreadable(error, ca_file, CLIENT_CA_FILE) from None
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


def _unreadable(error: OSError, path: str, part: str) -> TlsError:
    error.filename = error.filename or path
    return TlsError(str(unreadable(error)), part)


class _Encrypted(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal."""
    raise _Encrypted
