"""Whom a client trusts, and what it shows: the other end of a port with TLS."""

import ssl

from msgspec import Struct

from iii_cluster.config.settings import Tls

from .certificates import TlsError, show
from .files import Unreadable, content_of

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"

_OTHER_NAME = (62, 64)  # OpenSSL's numbers of a mismatch of host names, of addresses


class Secured(Struct, frozen=True):
    """What a connection with TLS is made with."""

    context: ssl.SSLContext
    name: str = ""  # what the certificate must be for; "": the host that is connected to


class Trust(Struct, frozen=True):
    """As it is told on a command line; the files are PEM."""

    tls: bool = False
    ca_file: str = ""  # who signed the other side's certificate; "": those the system trusts
    cert_file: str = ""  # what this side shows, with its key in `key_file` or behind it
    key_file: str = ""
    server_name: str = ""  # what the certificate must be for; "": the host that is connected to

    def secured(self) -> Secured:
        """Whether or not there is TLS. Raises TlsError when the files cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except ssl.SSLError as error:
            raise TlsError(f"{self.ca_file} cannot be used: {error.reason or error}") from None
        except OSError as error:
            raise TlsError(f"cannot read {error.filename or self.ca_file}: {error.strerror}") from None
        if self.cert_file:
            show(context, self.cert_file, self.key_file, " with --client-key")
        return Secured(context, self.server_name)


def own(tls: Tls) -> Secured:
    """For who runs a port with these files and connects to it: its very certificate counts, whatever it is for.

    It is shown, too, where clients have to show one. Raises TlsError.
    """
    try:
        text = content_of(tls.cert_file).decode(errors="replace")
    except Unreadable as error:
        raise TlsError(str(error)) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    first = text[text.find(_BEGIN) : text.find(_END)] + _END + "\n"
    try:
        context.load_verify_locations(cadata=first)
        if tls.client_ca_file:
            show(context, tls.cert_file, tls.key_file)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise TlsError(f"{tls.cert_file} cannot be used: {error}") from None
    return Secured(context)


def untrusted(where: str, error: ssl.SSLError) -> str:
    """Why there is no TLS connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OTHER_NAME:
            why = error.verify_message.rstrip(".")
            return f"the certificate of {where} is for another name ({why}); connect to its own or give --server-name"
        return f"the certificate of {where} is not trusted ({error.verify_message}); name its authority with --ca-file"
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING"):
        return f"what listens on {where} does not speak TLS"
    if "CERTIFICATE_REQUIRED" in str(error.reason):
        return f"{where} wants a certificate of its clients; give one with --client-cert"
    return f"no TLS connection to {where}: {error.reason or error}"
