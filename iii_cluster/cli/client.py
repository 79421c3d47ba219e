"""A small synchronous client of the worker protocol, enough to call a function and see what it says."""

import json
import os
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from iii_cluster.access.trust import untrusted
from iii_cluster.protocol.credentials import refused, token_headers

from .gateway import Gateway, Unreachable

MAX_MESSAGE_BYTES = 64 * 2**20
CONNECT_TIMEOUT = 10.0  # seconds
CLOSE_TIMEOUT = 1.0  # seconds
# Seconds. A gateway greets everybody at once, but may take 10 s for its auth function first.
GREETING_TIMEOUT = 12.0
DEFAULT_TIMEOUT = 30.0  # seconds a call may take


class RemoteError(Exception):
    """The call failed where it was carried out; `body` is the error as it came."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.code = str(body.get("code", "UNKNOWN"))
        self.message = str(body.get("message", ""))
        self.body = {"code": self.code, "message": self.message, **body}
        super().__init__(f"{self.code}: {self.message}")


class Client:
    """One connection to a gateway. It registers nothing, so no worker of that name is ever listed."""

    def __init__(self, socket: ClientConnection, where: str) -> None:
        """`where` is for messages."""
        self._socket = socket
        self._where = where
        self._greet_by = time.monotonic() + GREETING_TIMEOUT
        self._greeted = False

    def invoke(
        self, function: str, data: object, namespace: str | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> Any:
        """The function's result, None when it has none. Raises RemoteError, Unreachable or TimeoutError."""
        invocation = str(uuid.uuid4())
        frame = {"type": "invokefunction", "invocation_id": invocation, "function_id": function, "data": data}
        if namespace is not None:
            frame["namespace"] = namespace
        try:
            self._socket.send(json.dumps(frame, ensure_ascii=False, allow_nan=False))
            answer = self._answer(invocation, time.monotonic() + timeout)
        except ConnectionClosed as error:
            raise Unreachable(f"the gateway closed the connection ({error})") from None
        except TimeoutError:
            raise TimeoutError(f"{function} did not answer within {timeout:g} s") from None
        failure = answer.get("error")
        if failure is not None:
            raise RemoteError(failure if isinstance(failure, dict) else {"message": str(failure)})
        return answer.get("result")

    def _answer(self, invocation: str, deadline: float) -> dict[str, Any]:
        while True:
            frame = json.loads(self._received(deadline))
            if frame.get("type") == "error":
                raise RemoteError(frame.get("error") or {})
            if frame.get("type") == "invocationresult" and frame.get("invocation_id") == invocation:
                return dict(frame)

    def _received(self, deadline: float) -> str | bytes:
        """The next message. Raises TimeoutError, or Unreachable when it is sure that none comes."""
        until = deadline if self._greeted else min(deadline, self._greet_by)
        try:
            message = self._socket.recv(timeout=max(0.0, until - time.monotonic()))
        except TimeoutError:
            if until == deadline:
                raise
            greeting = f"no greeting within {GREETING_TIMEOUT:g} s"
            raise Unreachable(f"what listens on {self._where} is not a gateway's worker port ({greeting})") from None
        self._greeted = True
        return message


@contextmanager
def connected(gateway: Gateway) -> Iterator[Client]:
    """A client of the gateway there; raises Unreachable."""
    secured = gateway.secured()
    with ExitStack() as stack:
        try:
            socket = stack.enter_context(
                connect(
                    gateway.url,
                    ssl=secured.context if secured else None,
                    server_hostname=(secured.name or None) if secured else None,
                    additional_headers=token_headers(os.environ),
                    open_timeout=CONNECT_TIMEOUT,
                    close_timeout=CLOSE_TIMEOUT,
                    max_size=MAX_MESSAGE_BYTES,
                    compression=None,
                    proxy=None,
                )
            )
        except InvalidStatus as error:
            raise Unreachable(_refused(gateway, error)) from None
        except (InvalidHandshake, InvalidMessage, ConnectionClosed):
            wanted = "a certificate of its clients (--client-cert)" if secured else "TLS (--tls)"
            raise Unreachable(f"what listens on {gateway} is not a gateway, or wants {wanted}") from None
        except ConnectionRefusedError:
            raise Unreachable(f"nobody listens on {gateway}; is the cluster running?") from None
        except ssl.SSLError as error:
            raise Unreachable(untrusted(str(gateway), error)) from None
        except OSError as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or error
            raise Unreachable(f"cannot connect to {gateway}: {reason}") from None
        yield Client(socket, str(gateway))


def _refused(gateway: Gateway, error: InvalidStatus) -> str:
    response = error.response
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        return refused("the gateway", os.environ)
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        why = (response.body or b"").decode(errors="replace").strip()
        return f"{gateway} takes nobody now: {why or 'status 503'}"
    return f"what listens on {gateway} is not a gateway (status {response.status_code})"
