"""Lets connections of one listener in: asks its auth function who they are and what they may do."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from websockets.http11 import Request

from iii_cluster.access.grants import BadGrants, read_grants
from iii_cluster.access.rules import Access, ListenerRules
from iii_cluster.protocol import errors
from iii_cluster.protocol.errors import EngineError

from .handshake import auth_input

log = logging.getLogger(__name__)

# Auth functions that one listener asks at the same time; more connections wait for their turn, within their time.
MAX_ASKED = 64

# Of the engine, not of an auth function: what they say is not for strangers.
_OWN_CODES = frozenset(
    {
        errors.FUNCTION_NOT_FOUND,
        errors.INVOCATION_STOPPED,
        errors.INVOCATION_ERROR,
        errors.TIMEOUT,
        errors.INTERNAL_ERROR,
        errors.PAYLOAD_TOO_LARGE,
    }
)
_REFUSED = "authentication failed"

# Calls a function in `default`, within so many seconds. Raises EngineError.
Ask = Callable[[str, bytes, float], Awaitable[bytes]]


class Unauthorized(Exception):
    """The connection is not let in; the text is for its client."""


class Gate:
    """Of one listener that has rules."""

    def __init__(self, rules: ListenerRules, ask: Ask, patience: float) -> None:
        """`patience`: seconds from the handshake until everything is decided."""
        self._rules = rules
        self._ask = ask
        self._patience = patience
        self._turns = asyncio.Semaphore(MAX_ASKED)

    @property
    def open(self) -> Access | None:
        """What everybody may do, if nobody has to be asked."""
        return None if self._rules.auth else Access(self._rules)

    async def authenticate(self, request: Request, address: str) -> Access:
        """Raises Unauthorized: also when the function is missing, late or says anything but an AuthResult."""
        if not self._rules.auth:
            return Access(self._rules)
        function = self._rules.auth
        told = auth_input(request.headers.raw_items(), request.path, address)
        try:
            async with asyncio.timeout(self._patience), self._turns:
                answer = await self._ask(function, told, self._patience)
        except EngineError as error:
            log.info("action=auth_refused function=%s code=%s", function, error.code[:100])
            raise Unauthorized(_REFUSED if error.code in _OWN_CODES else error.message or _REFUSED) from None
        except TimeoutError:
            log.warning("action=auth_late function=%s limit_s=%g", function, self._patience)
            raise Unauthorized(_REFUSED) from None
        try:
            return Access(self._rules, read_grants(answer))
        except BadGrants as error:
            log.warning("action=auth_unreadable function=%s reason=%.200s", function, error)
            raise Unauthorized(_REFUSED) from None
