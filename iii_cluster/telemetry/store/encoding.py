"""Spans, logs and metrics as they lie in Redis: MessagePack, no larger than `MAX_RECORD`. Pure."""

import msgspec
from msgspec.structs import replace

from ..records import Attributes, Event, HistogramPoint, Log, Metric, NumberPoint, Span
from ..texts import cut

MAX_RECORD = 64 * 2**10  # bytes
CUTS = (8192, 1024, 128)  # characters of a text that are left, tried one after the other

_encode = msgspec.msgpack.Encoder(enc_hook=str).encode
decode_span = msgspec.msgpack.Decoder(Span).decode
decode_log = msgspec.msgpack.Decoder(Log).decode


class _Numbers(Metric):
    data_points: list[NumberPoint]  # type: ignore[assignment]


class _Histograms(Metric):
    data_points: list[HistogramPoint]  # type: ignore[assignment]


_decode_numbers = msgspec.msgpack.Decoder(_Numbers).decode
_decode_histograms = msgspec.msgpack.Decoder(_Histograms).decode


def encode_span(span: Span) -> bytes:
    """Its events are cut first, then its attributes. The resource is not kept: it is in every span of a worker."""
    resource, span.resource = span.resource, {}
    try:
        body = _encode(span)
        if len(body) > MAX_RECORD:
            body = _encode_large(span)
    finally:
        span.resource = resource
    return body


def _encode_large(span: Span) -> bytes:
    for limit in CUTS:
        span = replace(span, events=[_cut_event(event, limit) for event in span.events])
        if len(body := _encode(span)) <= MAX_RECORD:
            return body
    for limit in CUTS:
        span = replace(span, attributes=_cut(span.attributes, limit), status_description=_short(span, limit))
        if len(body := _encode(span)) <= MAX_RECORD:
            return body
    span = replace(span, events=[], links=[], attributes=span.attributes[:64], name=span.name[:256], trace_state=None)
    return _encode(replace(span, attributes=_cut(span.attributes, CUTS[-1])))


def _short(span: Span, limit: int) -> str | None:
    return None if span.status_description is None else cut(span.status_description, limit)


def _cut_event(event: Event, limit: int) -> Event:
    return Event(cut(event.name, limit), event.timestamp_unix_nano, _cut(event.attributes, limit))


def _cut(attributes: Attributes, limit: int) -> Attributes:
    return [(cut(key, limit), cut(value, limit)) for key, value in attributes]


def encode_log(log: Log) -> bytes:
    """Of one that is too large the body is cut, and the attributes and the resource are left out."""
    body = _encode(log)
    if len(body) > MAX_RECORD:
        body = _encode(replace(log, attributes={}, resource={}, body=cut(log.body, CUTS[0])))
    return body


def encode_metric(metric: Metric) -> bytes:
    """Points of one that is too large are left out, the first ones. The resource is not kept."""
    kind = b"h" if metric.metric_type == "histogram" else b"n"
    resource, metric.resource = metric.resource, {}
    try:
        body = _encode(metric)
        points = metric.data_points
        while len(body) > MAX_RECORD and points:
            points = points[-(len(points) // 2) :] if len(points) > 1 else []
            body = _encode(replace(metric, data_points=points))
    finally:
        metric.resource = resource
    return kind + body


def decode_metric(body: bytes) -> Metric:
    return _decode_histograms(body[1:]) if body[:1] == b"h" else _decode_numbers(body[1:])


def span_size(span: Span) -> int:
    """About how many bytes it takes, encoded or not."""
    size = 400 + _length(span.attributes)
    for event in span.events:
        size += 100 + _length(event.attributes)
    return size + 100 * len(span.links)


def log_size(log: Log) -> int:
    """Likewise."""
    return 400 + len(log.body) + 100 * (len(log.attributes) + len(log.resource))


def metric_size(metric: Metric) -> int:
    """Likewise."""
    return 400 + 300 * len(metric.data_points)


def _length(attributes: Attributes) -> int:
    return sum(20 + len(key) + len(value) for key, value in attributes)
