"""How calls of HTTP functions fail; beside this, as all requests to addresses that users name do."""

from iii_cluster.outgoing.failures import REQUEST_FAILED, RESPONSE_FAILED, URL_REFUSED

__all__ = ["HTTP_ERROR", "INVALID_RESPONSE", "MISSING_VARIABLE", "REQUEST_FAILED", "RESPONSE_FAILED", "URL_REFUSED"]

MISSING_VARIABLE = "missing_env_var"
HTTP_ERROR = "http_error"
INVALID_RESPONSE = "invalid_response"
