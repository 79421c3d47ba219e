"""The HTTP module. Requests are served by gateway/http, with what is here."""

from collections.abc import Iterable

from iii_cluster.modules.module import Module, TriggerType

from .config import HttpConfig
from .paths import conflict, rival
from .schemas import CONFIG_SCHEMA, REQUEST_SCHEMA
from .triggers import check

HTTP = "http"


class HttpModule(Module):
    """Gateways serve the routes; shards decide which ones conflict."""

    id = "iii-http"
    name = "HTTP"
    Config = HttpConfig

    def __init__(self, config: HttpConfig) -> None:
        super().__init__(config)
        self.config: HttpConfig = config

    def trigger_types(self) -> Iterable[TriggerType]:
        yield TriggerType(
            id=HTTP,
            description="Called for requests of one method and path",
            aliases=("api",),
            check=check,
            rival=rival,
            conflict=conflict,
            trigger_request_format=CONFIG_SCHEMA,
            call_request_format=REQUEST_SCHEMA,
        )
