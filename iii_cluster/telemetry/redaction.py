"""Secrets in what is collected: values of keys that say so, at any depth, in any case; in texts, those of URLs and of
HTTP's header. Pure."""

import re
from functools import lru_cache
from typing import Any

import msgspec

from .urls import SECRETS

REDACTED = "[REDACTED]"
PAYLOAD = "iii.payload.json"  # attribute of an event: what a function was given, or gave back, as JSON
LONGEST_KEY = 256  # characters: a longer one is the name of nothing
LONGEST_PARSED = 64 * 2**10  # characters of JSON that are read as such

# Compared without case, "-" and "_".
_SECRET = frozenset({
    "authorization", "proxyauthorization", "cookie", "setcookie", "xapikey", "apikey", "accesstoken", "refreshtoken",
    "idtoken", "password", "passwd", "secret", "clientsecret", "credential", "credentials", "privatekey",
})  # fmt: skip
_SECRET_IF_WHOLE = frozenset({"token"})  # "tokens.token" may be a number of tokens
_PLAIN = str.maketrans("", "", "-_")

# Texts without any of these need not be read. An escape may hide one.
_SUSPICIOUS = re.compile(
    r"authorization|cookie|api[-_]*key|token|passw|secret|credential|private[-_]*key|\\u|\\\\|://|[?&#]|bearer|basic",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_PARAMETERS = re.compile(rf"(?<=[?&#])({'|'.join(sorted(SECRETS))})=[^&\s\"']*", re.IGNORECASE)
_HEADER = re.compile(r"\b(bearer|basic) [\w.~+/=-]{8,}", re.IGNORECASE)
# A member of JSON text that cannot be read, having been cut off: its key, then its value.
_MEMBER = re.compile(r'"((?:[^"\\]|\\.){1,256})"\s*:\s*("(?:[^"\\]|\\.)*"?|[^\s",\[\]{}]+|[\[{])', re.DOTALL)


@lru_cache(maxsize=4096)
def _is_secret(key: str) -> bool:
    plain = key.lower().translate(_PLAIN)
    return plain in _SECRET_IF_WHOLE or plain.rpartition(".")[2] in _SECRET


def is_secret(key: str) -> bool:
    """Whether what `key` names is not to be shown; of "http.request.header.cookie" the last part counts."""
    return len(key) <= LONGEST_KEY and _is_secret(key)


def redact_text(text: str) -> str:
    """Without user and password of any URL in it, secrets of its query, and tokens as HTTP carries them."""
    if "@" in text:
        text = _CREDENTIALS.sub("***@", text)
    if "=" in text:
        text = _PARAMETERS.sub(r"\1=***", text)
    return _HEADER.sub(r"\1 ***", text) if " " in text else text


def redact(value: Any) -> Any:
    """A JSON value without its secrets; lists and objects are changed in place. Raises RecursionError if it is too
    deep."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        for key, member in value.items():
            value[key] = REDACTED if is_secret(key) else redact(member)
    elif isinstance(value, list):
        for at, member in enumerate(value):
            value[at] = redact(member)
    return value


def redact_json(text: str) -> str:
    """JSON text without its secrets. Of a text that was cut off, what may belong to a secret is left out."""
    if _SUSPICIOUS.search(text) is None:
        return text
    if len(text) <= LONGEST_PARSED:
        try:
            return msgspec.json.encode(redact(msgspec.json.decode(text))).decode()
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass
    return redact_text(_redact_part(text[:LONGEST_PARSED]))


def _redact_part(text: str) -> str:
    parts: list[str] = []
    at = 0
    while (found := _MEMBER.search(text, at)) is not None:
        key, value = found.groups()
        if is_secret(_unescaped(key)):
            parts += [text[at : found.start(2)], f'"{REDACTED}"']
            if value in ("{", "["):  # nobody knows where it ends
                return "".join(parts)
            at = found.end()
        else:
            # What follows the key may be an object, or a text that holds a key.
            at_value = found.end() if value not in ("{", "[") else found.start(2)
            parts.append(text[at:at_value])
            at = at_value
    parts.append(text[at:])
    return "".join(parts)


def _unescaped(key: str) -> str:
    try:
        return msgspec.json.decode(f'"{key}"', type=str)
    except (msgspec.MsgspecError, UnicodeError):
        return key
