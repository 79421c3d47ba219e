"""URLs as spans show them: without the values of query members that are secrets. Pure."""

from urllib.parse import unquote

REDACTED = "[REDACTED]"
MAX_URL = 2048  # characters that are shown

# Names of members, in lower case.
SECRETS = frozenset(
    (
        *("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "api_key", "apikey"),
        *("access_token", "refresh_token", "id_token", "token", "password", "passwd", "pwd", "secret", "client_secret"),
        *("credential", "credentials", "signature", "sig", "access_key", "x-amz-signature", "x-amz-credential"),
        *("x-amz-security-token", "x-goog-signature", "x-goog-credential", "awsaccesskeyid", "jwt", "auth"),
    )
)


def shown_query(query: str) -> str:
    """As it came, but for the values of secrets, cut to MAX_URL characters."""
    if not query:
        return ""
    return "&".join(_shown(member) for member in query[: 2 * MAX_URL].split("&"))[:MAX_URL]


def _shown(member: str) -> str:
    name, equals, _ = member.partition("=")
    plain = unquote(name).replace("+", " ").strip().lower()
    return f"{name}={REDACTED}" if equals and plain in SECRETS else member


def shown_url(scheme: str, authority: str, path: str, query: str) -> str:
    """The whole of it, of a query that is fit to be shown."""
    return f"{scheme}://{authority}{path}{'?' if query else ''}{query}"[: 2 * MAX_URL]
