"""Metrics of a cluster, scraped as Prometheus does."""

import asyncio
import urllib.request
from collections.abc import Iterable, Sequence

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.cluster import ClusterNode

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Scraped:
    """Samples of all nodes together."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.samples: dict[str, list[Sample]] = {}
        for text in texts:
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    self.samples.setdefault(sample.name, []).append(sample)

    def of(self, name: str, **labels: str) -> list[float]:
        """Values of the series with these labels, and perhaps others."""
        return [one.value for one in self.samples.get(name, ()) if labels.items() <= one.labels.items()]

    def total(self, name: str, **labels: str) -> float:
        return sum(self.of(name, **labels))


async def scrape(nodes: Sequence[ClusterNode]) -> Scraped:
    return Scraped(await asyncio.gather(*(asyncio.to_thread(_text, node) for node in nodes)))


def _text(node: ClusterNode) -> str:
    with _DIRECT.open(f"http://127.0.0.1:{node.ports['metrics']}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
        return text
