"""Where a command finds its gateway, and whom it trusts there."""

import ssl

from msgspec import Struct


class Unreachable(Exception):
    """Nobody answers at the address, or not as a gateway would, or the connection broke."""


class Gateway(Struct, frozen=True):
    """`ca_file` alone means TLS, too; the files are PEM."""

    address: str
    port: int
    tls: bool = False
    ca_file: str = ""  # who signed the gateway's certificate; "": those the system trusts
    cert_file: str = ""  # what this client shows, with its key in `key_file` or behind it
    key_file: str = ""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    @property
    def encrypted(self) -> bool:
        return self.tls or bool(self.ca_file or self.cert_file)

    @property
    def url(self) -> str:
        return f"{'wss' if self.encrypted else 'ws'}://{self}/"

    def context(self) -> ssl.SSLContext | None:
        """None without TLS. Raises Unreachable when the files cannot be used."""
        if not self.encrypted:
            return None
        path = self.ca_file
        try:
            context = ssl.create_default_context(cafile=path or None)
            if path := self.cert_file:
                context.load_cert_chain(path, self.key_file or None)
        except ssl.SSLError as error:
            raise Unreachable(f"{path} cannot be used: {error.reason or error}") from None
        except OSError as error:
            raise Unreachable(f"cannot read {error.filename or path}: {error.strerror}") from None
        return context


def untrusted(where: str, error: ssl.SSLError) -> str:
    """Why there is no TLS connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not trusted ({error.verify_message}); name its authority with --ca-file"
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING"):
        return f"what listens on {where} does not speak TLS"
    if "CERTIFICATE_REQUIRED" in str(error.reason):
        return f"{where} wants a certificate of its clients; give one with --client-cert"
    return f"no TLS connection to {where}: {error.reason or error}"
