"""What a port proves who it is with: PEM files, read again when they change.

A server keeps the context it was started with. What was read last is put in its place at the beginning of every
handshake, so new connections get the new certificate and open ones live on.
"""

import hashlib
import logging
import os
import ssl

from iii_cluster.config.settings import Tls

log = logging.getLogger(__name__)

_LOOK = 2.0  # s between looks at the files
_MAX_FILE = 2**20  # bytes of a file that count

_Stat = tuple[int, int, int, int, int]


class TlsError(OSError):
    """The files cannot be used; the text says which and why, in one line."""

    def __str__(self) -> str:
        return str(self.args[0])


class TlsFiles:
    """The context of one port. Raises TlsError when the files cannot be read or do not belong together."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._paths = [path for path in (tls.cert_file, tls.key_file, tls.client_ca_file) if path]
        self._look_at = 0.0
        self._seen: list[_Stat] | str = self._look()  # or why they could not be looked at
        self._digest = self._read()
        self._latest = _context(tls)
        self.context = _context(tls)
        """For servers; the same object for as long as the port lives."""
        self.context.sni_callback = self._renew

    def tick(self, now: float) -> None:
        """Read the files again if they have changed; what cannot be used is logged once, and the old ones stay."""
        if now < self._look_at:
            return
        self._look_at = now + _LOOK
        try:
            seen: list[_Stat] | str = self._look()
        except TlsError as error:
            seen = str(error)
        if seen != self._seen:
            self._seen = seen  # before they are read: what changes meanwhile is seen at the next look
            if isinstance(seen, str):
                _kept(seen)
            else:
                self._reload()

    def _reload(self) -> None:
        try:
            digest = self._read()
            if digest == self._digest:  # touched, or back to what is in use
                return
            self._latest = _context(self._tls)
        except TlsError as error:
            _kept(str(error))
        else:
            self._digest = digest
            log.info("action=tls_reloaded cert=%s", self._tls.cert_file)

    def _renew(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called in every handshake of `context`, also when the client names no server."""
        connection.context = self._latest

    def _look(self) -> list[_Stat]:
        """What changes when a file, or a link on the way to it, is replaced or written."""
        try:
            stats = [os.stat(path) for path in self._paths]
        except OSError as error:
            raise _unreadable(error) from None
        return [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats]

    def _read(self) -> bytes:
        """A digest of all files."""
        digest = hashlib.sha256()
        for path in self._paths:
            try:
                with open(path, "rb") as file:
                    content = file.read(_MAX_FILE)
            except OSError as error:
                raise _unreadable(error) from None
            digest.update(hashlib.sha256(content).digest())
        return digest.digest()


def _kept(reason: str) -> None:
    log.error("action=tls_reload_failed kept=the files read before reason=%s", reason)


def _unreadable(error: OSError) -> TlsError:
    return TlsError(f"TLS: cannot read {error.filename}: {error.strerror}")


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file or None, _no_password)
    except _Encrypted:
        key = tls.key_file or tls.cert_file
        raise TlsError(f"TLS: the key in {key} is encrypted; give one without a password") from None
    except ssl.SSLError as error:
        raise TlsError(_why_unfit(tls, error)) from None
    except OSError as error:
        raise _unreadable(error) from None
    if tls.client_ca_file:
        _ask_for_certificates(context, tls.client_ca_file)
    return context


def _why_unfit(tls: Tls, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"TLS: the key in {tls.key_file or tls.cert_file} is not that of the certificate in {tls.cert_file}"
    files = " and ".join(path for path in (tls.cert_file, tls.key_file) if path)
    return f"TLS: no certificate chain and key in PEM form in {files} ({error.reason or error})"


def _ask_for_certificates(context: ssl.SSLContext, ca_file: str) -> None:
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise TlsError(f"TLS: no certificates in PEM form in {ca_file} ({error.reason or error})") from None
    except OSError as error:
        raise _unreadable(error) from None
    context.verify_mode = ssl.CERT_REQUIRED
    # Whoever resumes a session shows no certificate: it would get in after its authority was taken off the file.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


class _Encrypted(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal."""
    raise _Encrypted
