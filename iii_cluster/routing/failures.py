"""Error bodies of calls that found nobody, or lost whom they had found."""

from iii_cluster.protocol import errors

from .route import Route


def stopped(why: str) -> bytes:
    """Of a call whose callee or way was lost."""
    return errors.error_body(errors.INVOCATION_STOPPED, f"Invocation stopped: {why}")


def unserved(route: Route, *, elsewhere: bool = True) -> bytes:
    """Of a call to a function without owners; `elsewhere`: with the other namespaces that have it."""
    if route.unanswered:
        return errors.error_body(
            errors.TIMEOUT, f"Function {route.function} could not be looked up: no shard answered in time"
        )
    return not_found(route.namespace, route.function, route.elsewhere if elsewhere else [])


def not_found(namespace: str, function: str, elsewhere: list[str]) -> bytes:
    message = f"Function {function} not found in namespace {namespace}."
    if elsewhere:
        message += f" It is registered in namespace(s): {', '.join(sorted(elsewhere))}."
    return errors.error_body(errors.FUNCTION_NOT_FOUND, message)
