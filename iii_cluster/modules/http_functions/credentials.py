"""Who a request says it comes from: values of the gateway's environment, which are never told to anybody else."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec
from msgspec import Struct

from iii_cluster.outgoing.globs import BadGlob, compile_globs
from iii_cluster.protocol.errors import EngineError

from .failures import MISSING_VARIABLE

SIGNATURE = "x-iii-Signature"
RESERVED = "III_"  # begins the names of the engine's own variables
# Shorter texts may be part of a setting by chance.
MIN_SECRET = 6

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Credentials(Protocol):
    """What is added to the headers of each request."""

    def headers(self, timestamp: str, body: bytes) -> Iterable[tuple[str, str]]: ...


class Auth(Protocol):
    """An `auth` block: it names variables."""

    def read(self, variables: "Variables") -> Credentials:
        """Raises EngineError `missing_env_var`."""


class Variables:
    """The environment as workers may use it; `own` are texts that the gateway's settings are made of."""

    def __init__(self, environ: Mapping[str, str], globs: Iterable[str], own: Iterable[str] = ()) -> None:
        self._environ = environ
        self._own = tuple(own)
        try:
            self._globs = compile_globs(globs)
            self.bad_glob = ""
        except BadGlob as error:
            self._globs = ()
            self.bad_glob = str(error)

    def value(self, name: str) -> str:
        """Never blank. Raises EngineError, with the name but without the value."""
        if name.upper().startswith(RESERVED) or not any(glob.fullmatch(name) for glob in self._globs):
            raise EngineError(MISSING_VARIABLE, f"environment variable {name!r} may not be used (env_allowlist)")
        value = self._environ.get(name, "")
        if not value.strip():
            raise EngineError(MISSING_VARIABLE, f"environment variable {name!r} is not set")
        if len(value) >= MIN_SECRET and self._is_own(value):
            raise EngineError(MISSING_VARIABLE, f"environment variable {name!r} holds settings of the gateway itself")
        return value

    def _is_own(self, value: str) -> bool:
        escaped = msgspec.json.encode(value)[1:-1].decode()  # as settings that are JSON have it
        return any(value in text or escaped in text for text in self._own)

    def header(self, name: str) -> str:
        """The same, fit for a header."""
        value = self.value(name).strip()
        if _CONTROL.search(value):
            raise EngineError(MISSING_VARIABLE, f"environment variable {name!r} holds what no header may hold")
        return value


class Nobody(Struct, frozen=True):
    def headers(self, timestamp: str, body: bytes) -> Iterable[tuple[str, str]]:
        return ()


class _Header(Struct, frozen=True):
    name: str
    value: str

    def headers(self, timestamp: str, body: bytes) -> Iterable[tuple[str, str]]:
        return ((self.name, self.value),)

    def __repr__(self) -> str:
        return f"Header({self.name})"


class _Signature(Struct, frozen=True):
    secret: bytes

    def headers(self, timestamp: str, body: bytes) -> Iterable[tuple[str, str]]:
        return ((SIGNATURE, signature(self.secret, timestamp, body)),)

    def __repr__(self) -> str:
        return "Signature()"


class Bearer(Struct, frozen=True):
    token: str

    def read(self, variables: Variables) -> Credentials:
        return _Header("Authorization", f"Bearer {variables.header(self.token)}")


class ApiKey(Struct, frozen=True):
    name: str
    value: str

    def read(self, variables: Variables) -> Credentials:
        return _Header(self.name, variables.header(self.value))


class Hmac(Struct, frozen=True):
    secret: str

    def read(self, variables: Variables) -> Credentials:
        return _Signature(variables.value(self.secret).encode())


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Of the seconds as they are sent, a colon and the body in Base64."""
    signed = timestamp.encode() + b":" + base64.b64encode(body)
    return f"sha256={hmac.new(secret, signed, hashlib.sha256).hexdigest()}"
