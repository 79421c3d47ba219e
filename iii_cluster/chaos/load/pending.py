"""Calls a client waits for; they outlive its connections, as those of the published clients do."""

import asyncio
from typing import Any

from iii_cluster.chaos.history import OK, OPEN, UNANSWERED, Call
from iii_cluster.chaos.limits import GIVE_UP

Frame = dict[str, Any]
Outcome = tuple[str, Any]  # "ok" or an error code, and the result


class Pending:
    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}  # by invocation id, also those that ended: nothing may come twice
        self._waiting: dict[str, asyncio.Future[Outcome]] = {}
        self._open: set[str] = set()
        self._orphans: dict[str, float] = {}  # invocation id -> when its connection was lost

    def __len__(self) -> int:
        return len(self._open)

    def add(self, invocation: str, call: Call) -> asyncio.Future[Outcome]:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._calls[invocation] = call
        self._waiting[invocation] = future
        self._open.add(invocation)
        return future

    def answered(self, frame: Frame, now: float) -> bool:
        """An `invocationresult`; False if nobody asked."""
        invocation = str(frame.get("invocation_id"))
        call = self._calls.get(invocation)
        if call is None:
            return False
        call.answers += 1
        if call.ended != OPEN:
            return True
        call.answered_as = str(frame.get("function_id"))
        error, result = frame.get("error"), frame.get("result")
        if error is not None:
            call.message = str(error.get("message", ""))
            self._end(invocation, str(error.get("code", "UNKNOWN")), None, now)
        else:
            call.answer = result.get("n") if isinstance(result, dict) else None
            self._end(invocation, OK, result, now)
        return True

    def lost(self, now: float) -> None:
        """The connection is gone: what waits may still be answered on the next one."""
        for invocation in self._open:
            self._calls[invocation].orphaned = True
            self._orphans.setdefault(invocation, now)

    def give_up(self, now: float) -> None:
        """End what was orphaned long ago."""
        for invocation, lost in list(self._orphans.items()):
            if now - lost > GIVE_UP:
                self._calls[invocation].message = "its caller lost the connection"
                self._end(invocation, UNANSWERED, None, now)

    def _end(self, invocation: str, outcome: str, result: Any, now: float) -> None:
        call = self._calls[invocation]
        call.ended = now
        call.outcome = outcome
        self._open.discard(invocation)
        self._orphans.pop(invocation, None)
        future = self._waiting.pop(invocation)
        if not future.done():
            future.set_result((outcome, result))
