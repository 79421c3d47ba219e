"""The published stream clients, each in a program of its own."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.sdk_worker import DrivenProgram
from tests.support.sdks import PROGRAMS, npm_package

# The newest and the oldest one of either kind.
BUILDS = {
    ("node", "0.17.6-beta.187"): "dist/index.mjs",
    ("node", "0.6.4-beta.130"): "dist/cjs/index.js",
    ("browser", "0.17.14-beta.196"): "dist/index.js",
    ("browser", "0.2.2"): "dist/index.js",
}


@dataclass(frozen=True)
class StreamClientBuild:
    kind: str
    version: str

    def __str__(self) -> str:
        return f"{self.kind}-{self.version}"


NEWEST_NODE, OLDEST_NODE, NEWEST_BROWSER, OLDEST_BROWSER = STREAM_CLIENTS = [
    StreamClientBuild(*build) for build in BUILDS
]


class PublishedStreamClient(DrivenProgram):
    """Browser builds run under Node, with its own implementation of the browsers' WebSocket."""

    def __init__(self, build: StreamClientBuild, directory: Path) -> None:
        package = npm_package(f"@motiadev/stream-client-{build.kind}", build.version)
        argv = ["node", str(PROGRAMS / "stream_client.mjs")]
        if build.kind == "browser":
            argv[1:1] = ["--experimental-websocket", "--import", str(PROGRAMS / "browser_modules.mjs")]
        module = str(package / BUILDS[build.kind, build.version])
        name = f"stream-client-{build}"
        super().__init__(name, directory / f"{name}.log", argv, {**os.environ, "TEST_CLIENT_MODULE": module})
        self.build = build

    async def open(self, port: int, **options: Any) -> None:
        await self.ask("open", url=f"ws://127.0.0.1:{port}", **options)

    async def item(self, name: str, stream: str, group: str, item: str, *custom: str) -> None:
        await self.ask("item", name=name, streamName=stream, groupId=group, itemId=item, custom=custom)

    async def group(self, name: str, stream: str, group: str, *custom: str) -> None:
        await self.ask("group", name=name, streamName=stream, groupId=group, custom=custom)

    async def state(self, name: str) -> Any:
        return await self.ask("state", name=name)
