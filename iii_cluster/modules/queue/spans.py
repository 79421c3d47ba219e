"""The span of one attempt at a job, in the trace of whoever sent it; without one, it begins a trace."""

from iii_cluster.modules import spans
from iii_cluster.modules.engine import Engine
from iii_cluster.modules.spans import DeliverySpan
from iii_cluster.telemetry.records import Kind

from .adapter import Job, Queue
from .names import attempt_of


def attempt(engine: Engine, queue: Queue, job: Job, delivery: str, function: str) -> DeliverySpan:
    """`delivery` is its name, `function` the one that handles it."""
    trace = job.traceparent, job.baggage
    named = queue.group is None
    name = f"{'fn_queue' if named else 'queue'} {queue.name}"
    span = spans.deliver(engine, name, trace, Kind.CONSUMER, function=function, root=True)
    if span.recorded:
        for key, value in (_NAMED if named else _TOPIC).items():
            span.set(key, value)
        span.set("queue", queue.name)
        span.set("attempt", attempt_of(delivery))
        span.set("messaging.destination.name", queue.name)
        span.set("messaging.message.id", job.id)
        if named:
            span.set("delivery_id", delivery)
            span.set("iii.tag.display_name", f"{queue.name}: {function}")
        else:
            span.set("job_id", job.id)
            span.set("baggage.queue", queue.name)
    return span


_TOPIC = {"messaging.system": "iii-queue", "messaging.operation.type": "process"}
_NAMED = _TOPIC | {"iii.tag.kind": "queue.process"}
