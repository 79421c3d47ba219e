"""The HTTP functions module: only there when the configuration names it."""

from iii_cluster.modules.module import Module

from .config import HttpFunctionsConfig


class HttpFunctionsModule(Module):
    id = "iii-http-functions"
    name = "HTTP functions"
    Config = HttpFunctionsConfig

    def __init__(self, config: HttpFunctionsConfig) -> None:
        super().__init__(config)
        self.config: HttpFunctionsConfig = config
