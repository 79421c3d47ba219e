"""What clients show to gateways."""

from collections.abc import Mapping

from iii_cluster.config.fields import FIELDS, TOKEN_VARIABLE

# The second is what gateways are given; who starts both from one environment need not say it twice.
VARIABLES = (TOKEN_VARIABLE, FIELDS["tokens"].variable)


def token_of(environ: Mapping[str, str]) -> str:
    """Gateways may be given several at once; clients show the first. "" for none."""
    name = token_variable(environ)
    return environ[name].strip(" ,").partition(",")[0].strip() if name else ""


def token_variable(environ: Mapping[str, str]) -> str:
    """Where the token comes from; "" for none."""
    return next((name for name in VARIABLES if environ.get(name, "").strip(" ,")), "")


def token_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Headers of a handshake; none without a token."""
    token = token_of(environ)
    return {"Authorization": f"Bearer {token}"} if token else {}


def refused(who: str, environ: Mapping[str, str]) -> str:
    """What is told when `who` answers 401."""
    if name := token_variable(environ):
        return f"{who} does not accept the token in {name}"
    return f"{who} wants a token; set {TOKEN_VARIABLE}"
