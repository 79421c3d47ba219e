"""Settings of the HTTP functions module."""

from msgspec import Struct

from iii_cluster.config.settings import Count, Limit
from iii_cluster.outgoing.security import Security


class HttpFunctionsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits are those of one gateway."""

    security: Security = Security()
    max_concurrent: Limit = 1000  # calls in progress
    max_per_host: Limit = 50
    max_response_bytes: Limit = 16 * 2**20
    retries: Count = 2  # of what surely did not reach the other side, or may be repeated
