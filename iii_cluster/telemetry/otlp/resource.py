"""Who tells something: attributes of this process as OpenTelemetry names them. Pure but for names of the host."""

import os
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from iii_cluster import __version__
from iii_cluster.telemetry.config import Observability


def own_resource(config: Observability, node: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Of the node `node`. What the environment says of resources comes along."""
    attributes: dict[str, Any] = dict(_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", "")))
    attributes |= {
        "service.name": config.service_name,
        "service.version": config.service_version or __version__,
        "service.instance.id": node,
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
    }
    if config.service_namespace:
        attributes["service.namespace"] = config.service_namespace
    if deployment := environ.get("DEPLOYMENT_ENVIRONMENT"):
        attributes["deployment.environment.name"] = deployment
    return attributes


def _pairs(text: str) -> list[tuple[str, str]]:
    found = (part.partition("=") for part in text.split(","))
    return [(key.strip(), unquote(value.strip())) for key, equals, value in found if equals and key.strip()]
