"""What a port proves who it is with: PEM files, read again when they change.

A server keeps the context it was started with. What was read last is put in its place at the beginning of every
handshake, so new connections get the new certificate and open ones live on.
"""

import logging
import ssl
from weakref import WeakValueDictionary

from iii_cluster.config.settings import Tls

from .certificates import TlsError, server_context
from .files import Unreadable, WatchedFiles

log = logging.getLogger(__name__)

_shared: "WeakValueDictionary[Tls, TlsFiles]" = WeakValueDictionary()


def tls_files(tls: Tls) -> "TlsFiles":
    """One for all ports of the process with the same files: they are read, and complained of, once."""
    known = _shared.get(tls)
    if known is None:
        known = _shared[tls] = TlsFiles(tls)
    return known


class TlsFiles:
    """The context of the ports that use these files. Raises TlsError when they cannot be read, or do not belong
    together."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        try:
            self._files = WatchedFiles((tls.cert_file, tls.key_file, tls.client_ca_file))
        except Unreadable as error:
            raise TlsError(f"TLS: {error}") from None
        self._latest = server_context(tls)
        self.context = server_context(tls)
        """For servers; the same object for as long as their ports live."""
        self.context.sni_callback = self._renew

    def tick(self, now: float) -> None:
        """Read the files again if they have changed; what cannot be used is logged once, and the old ones stay."""
        try:
            if self._files.changed(now) is None:
                return
            self._latest = server_context(self._tls)
        except (Unreadable, TlsError) as error:
            log.error("action=tls_reload_failed reason=%s; what was read before stays in use", error)
        else:
            log.info("action=tls_reloaded cert=%s", self._tls.cert_file)

    def _renew(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called in every handshake of `context`, also when the client names no server."""
        connection.context = self._latest
