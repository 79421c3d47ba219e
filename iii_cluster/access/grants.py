"""What an auth function answers: the rights of one connection. Whatever is not exactly that refuses the connection."""

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder

# Largest context, bytes: it travels with every call that a middleware sees.
MAX_CONTEXT = 64 * 2**10


class Grants(Struct, frozen=True, forbid_unknown_fields=True):
    """Rights of one connection. The defaults are those that an auth function leaves out.

    Unknown members are refused: one that is misspelt, or of a later version, may be a restriction.
    """

    namespaces: dict[str, list[str]] = {}  # namespace -> functions that may be called there: ids, or with wildcards
    allowed_functions: list[str] = []  # of the namespace `default`, exact
    forbidden_functions: list[str] = []  # of all namespaces, exact; wins
    allowed_trigger_types: list[str] | None = None  # None: all
    allow_trigger_type_registration: bool = False
    allow_function_registration: bool = True
    function_registration_prefix: str | None = None
    context: Raw = Raw(b"{}")  # what hooks and middleware are told of the connection


# Of connections that no auth function is asked about.
UNASKED = Grants(allow_trigger_type_registration=True)


class BadGrants(ValueError):
    """It is no AuthResult."""


_decode = Decoder(Grants).decode


def read_grants(answer: bytes) -> Grants:
    """Raises BadGrants for any other shape."""
    if not answer:
        raise BadGrants("it answered nothing")
    try:
        grants = _decode(answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadGrants(str(error)) from None
    if len(bytes(grants.context)) > MAX_CONTEXT:
        raise BadGrants(f"the context has more than {MAX_CONTEXT} bytes")
    if any(not name.strip() for name in grants.namespaces):
        raise BadGrants("a namespace is blank")
    prefix = grants.function_registration_prefix
    if prefix is not None and not prefix.strip():  # of a tenant that is missing; it would share everybody's ids
        raise BadGrants("the prefix is blank")
    return grants
