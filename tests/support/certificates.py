"""Certificates of a test's own, and clients that trust them."""

import ssl
from collections.abc import Sequence
from pathlib import Path

import trustme

HOST = "127.0.0.1"


class Certificates:
    """An authority, a server's certificate in `cert_file` and `key_file`, and what clients need."""

    def __init__(self, directory: Path, name: str = "server", hosts: Sequence[str] = (HOST, "localhost")) -> None:
        self._hosts = hosts
        self._authority = trustme.CA()
        self.cert_file = directory / f"{name}.pem"
        self.key_file = directory / f"{name}.key"
        self.ca_file = directory / f"{name}-ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca_file))
        self.issue()

    def issue(self) -> int:
        """A new pair in the files; returns its serial number."""
        issued = self._authority.issue_cert(*self._hosts)
        self.key_file.write_bytes(issued.private_key_pem.bytes())
        self.cert_file.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        return _serial(issued)

    def client(self, *, certificate: bool = False) -> ssl.SSLContext:
        """Trusts the authority; shows a certificate of it on request."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if certificate:
            self._authority.issue_cert("worker@example.org").configure_cert(context)
        return context

    @property
    def options(self) -> dict[str, str]:
        """Those of a gateway's command line."""
        return {"tls-cert-file": str(self.cert_file), "tls-key-file": str(self.key_file)}

    @property
    def admin_options(self) -> dict[str, str]:
        """Those of any role, for its admin port."""
        return {f"admin-{name}": value for name, value in self.options.items()}


def _serial(issued: trustme.LeafCert) -> int:
    from cryptography import x509

    return x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).serial_number


def encrypted(key_file: Path) -> bytes:
    """The same key, PEM, with a password."""
    from cryptography.hazmat.primitives import serialization as kinds

    key = kinds.load_pem_private_key(key_file.read_bytes(), None)
    form, kind = kinds.Encoding.PEM, kinds.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(form, kind, kinds.BestAvailableEncryption(b"secret"))


def serial(connection: ssl.SSLObject | ssl.SSLSocket) -> int:
    """Of the certificate the server has shown."""
    shown = connection.getpeercert()
    assert shown is not None
    return int(str(shown["serialNumber"]), 16)
