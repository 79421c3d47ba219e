"""What clients show to gateways."""

from collections.abc import Mapping

from iii_cluster.config.fields import TOKEN_VARIABLE


def token_of(environ: Mapping[str, str]) -> str:
    """Gateways may be given several at once in this variable; clients show the first. "" for none."""
    return environ.get(TOKEN_VARIABLE, "").partition(",")[0].strip()


def token_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Headers of a handshake; none without a token."""
    token = token_of(environ)
    return {"Authorization": f"Bearer {token}"} if token else {}
