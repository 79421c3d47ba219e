"""One request, from its route to the head of its response."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from gateway.call import Call
from gateway.channels.channel import Channel
from gateway.channels.ends import ChannelClosed, ReaderEnd
from iii_cluster.protocol import errors as codes

from . import errors, spans
from .cors import Headers
from .edge import Edge
from .exchange import Exchange
from .middleware import verdict
from .refusal import body_too_late, failure, too_large
from .request import NULL, announced, has_body, is_json, json_body, middleware_input, payload, trace_of, with_channels
from .response import NOTHING, Response, from_result
from .routes import Match
from .sending import parts, respond, stream
from .streaming import Head, Streamed, late, whole
from .upload import TooLarge, Upload, read_all

log = logging.getLogger(__name__)

HANDLER = "The function"
MIDDLEWARE = "Middleware"
BODY = "The client"


class ClientGone(Exception):
    """Nobody waits for the response."""


class Handling:
    """Calls what is to be called, and answers.

    Mostly there is nothing to wait for but the end of the call: `begin` makes it, and its end is answered at once. What
    asks, reads or waits for more is `serve`, a task, from the beginning or from where that is seen.
    """

    __slots__ = (
        "_bound",
        "_called",
        "_cors",
        "_edge",
        "_ended",
        "_exchange",
        "_expired",
        "_gone",
        "_headers",
        "_parameters",
        "_query",
        "_request_body",
        "_response",
        "_span",
        "_stage",
        "_streamed",
        "_task",
        "_text",
        "_trace",
        "_upload",
        "_verdict",
        "_waiter",
    )

    def __init__(
        self,
        edge: Edge,
        match: Match,
        exchange: Exchange,
        query: dict[str, object],
        headers: dict[str, str],
        cors: Headers,
    ) -> None:
        self._edge = edge
        self._bound, self._parameters = match
        self._exchange = exchange
        self._query = query
        self._headers = headers
        self._cors = cors
        self._expired = False
        self._span, self._trace = spans.begin(
            edge.tracer, exchange, headers, self._bound.trigger.function, trace_of(headers)
        )
        self._waiter: asyncio.Future[None] | None = None
        self._ended: tuple[bytes, bytes] | None = None  # result and error of the function
        self._verdict: Response | None = None  # of the upload: too large; of the clock: too late
        self._gone = False
        self._called: Call | None = None
        self._response: Channel | None = None
        self._request_body: Channel | None = None
        self._upload: Upload | None = None
        self._streamed: Streamed | None = None
        self._task: asyncio.Task[None] | None = None  # of `serve`
        self._stage = HANDLER  # who is to blame for a timeout
        self._text: bytes | None = None  # the body, if it was read

    def begin(self) -> Coroutine[Any, Any, None] | None:
        """What is left to be done, as a task; None while nothing is."""
        edge, bound = self._edge, self._bound
        if edge.middleware or bound.middleware or bound.condition or not self._has_input():
            return self.serve()
        edge.deadlines.begin(self)
        try:
            self._call(self._payload())
        except Exception as error:
            response = failure(error)
            self.end(response.status)
            return respond(self._exchange, response, self._cors)
        return None

    def _has_input(self) -> bool:
        """Whether nothing has to be read before the call."""
        if is_json(self._headers.get("content-type", "")):
            self._text = self._exchange.whole_body(self._edge.body_limit)
            return self._text is not None
        return not 0 < self._edge.upload_limit < announced(self._headers)

    def _go_on(self) -> None:
        """Something has happened that nobody waits for: answer, or have somebody wait for more."""
        if not self._answer_at_once():
            self._exchange.go_on(self.serve())

    def _answer_at_once(self) -> bool:
        exchange, channel = self._exchange, self._response
        if channel is None or channel.touched or not exchange.taking:
            return False
        try:
            response = self._settled()
            if response is None:
                return False
            exchange.answer(*parts(response, self._cors))
        except Exception:  # it happens again, where it is answered
            return False
        self.end()
        return True

    async def serve(self) -> None:
        """To the end of the response."""
        exchange = self._exchange
        try:
            answer = await self._answer()
            if isinstance(answer, Response):
                await respond(exchange, answer, self._cors)
            else:
                await stream(exchange, answer, self._cors)
        except (ClientGone, OSError):
            pass  # nobody reads an answer
        finally:
            self.end()

    async def _answer(self) -> Response | Streamed:
        """The response, or the head of one, in time. Raises ClientGone."""
        self._task = self._exchange.task
        if self._response is None:
            self._edge.deadlines.begin(self)
        try:
            return (None if self._response else await self._before()) or await self._after()
        except asyncio.CancelledError:
            if not self._expired or self._task is None or self._task.uncancel():
                raise
            return self._too_late()
        except (ClientGone, OSError):
            raise ClientGone from None
        except Exception as error:
            return failure(error)
        finally:
            self._edge.deadlines.end(self)

    def expire(self) -> None:
        self._expired = True
        if self._task is not None:
            self._task.cancel()
        else:
            self._verdict = self._too_late()
            self._wake()

    def _too_late(self) -> Response:
        if self._stage is MIDDLEWARE:
            return errors.error_response(504, errors.MIDDLEWARE_TIMEOUT, "Middleware timeout")
        if self._stage is BODY:
            return body_too_late()
        limit = self._edge.deadlines.limit
        return errors.error_response(504, codes.TIMEOUT, f"The function did not answer within {limit:g} s")

    async def _before(self) -> Response | None:
        """Ask and read what comes before the call, then call; the response if it does not come to that."""
        edge, bound = self._edge, self._bound
        for function in edge.middleware:
            if (response := await self._ask_middleware(function, "default")) is not None:
                return response
        if is_json(self._headers.get("content-type", "")):
            if announced(self._headers) > edge.body_limit:
                return too_large(edge.body_limit)
            self._stage = BODY
            try:
                self._text = await read_all(self._exchange.receive, edge.body_limit)
            except TooLarge:
                return too_large(edge.body_limit)
            if self._text is None:
                raise ClientGone
            self._stage = HANDLER
        elif 0 < edge.upload_limit < announced(self._headers):
            return too_large(edge.upload_limit)
        data = self._payload()
        if bound.condition:
            result, error = await self._ask(bound.condition, data, bound.trigger.namespace)
            if error:
                return errors.call_failed(error, bound.trigger.id, bound.condition, self._trace)
            if result == b"false":
                return errors.error_response(422, errors.CONDITION_NOT_MET, "Request condition not met", skipped=True)
        for function in bound.middleware:
            if (response := await self._ask_middleware(function, bound.trigger.namespace)) is not None:
                return response
        self._call(data)
        return None

    def _payload(self) -> bytes:
        body = NULL if self._text is None else json_body(self._text)
        return payload(self._bound, self._exchange.method, self._parameters, self._query, self._headers, body)

    async def _after(self) -> Response | Streamed:
        """The function is called: what becomes of that."""
        channel = self._response
        assert channel is not None
        while not (self._ended or channel.touched or self._verdict or self._gone):
            await self._wait()
        if channel.touched:
            return await self._stream(channel)
        return self._settled() or await self._silence(channel)

    # -- functions that are asked before -----------------------------------------------------------

    async def _ask_middleware(self, function: str, namespace: str) -> Response | None:
        self._stage = MIDDLEWARE
        data = middleware_input(self._exchange.method, self._parameters, self._query, self._headers)
        result, error = await self._ask(function, data, namespace)
        self._stage = HANDLER
        if error:
            return errors.call_failed(error, self._bound.trigger.id, function, self._trace)
        return verdict(function, result, self._edge.cors.owned)

    async def _ask(self, function: str, data: bytes, namespace: str) -> tuple[bytes, bytes]:
        return await self._edge.ask(namespace, function, data, self._trace)

    # -- the function itself -----------------------------------------------------------------------

    def _call(self, data: bytes) -> None:
        edge, trigger = self._edge, self._bound.trigger
        self._response = response = edge.channels.create()
        self._request_body = request_body = edge.channels.create()
        response.on_touch = self._wake
        request_body.on_touch = self._begin_upload
        data = with_channels(data, request_body.reader_ref, response.writer_ref)
        self._called = Call(
            None, b"", trigger.namespace, trigger.function, data, self._trace, trigger.metadata, done=self._done
        )
        edge.start(self._called)

    def _done(self, result: bytes, error: bytes) -> None:
        self._ended = (b"" if result == b"null" else result), error
        if error and self._streamed is not None:
            self._streamed.function_failed(error)
        self._wake()

    def _settled(self) -> Response | None:
        """The response as far as the function itself gives it, or those who watch the client do."""
        if self._gone:
            raise ClientGone
        if self._verdict is not None:
            return self._verdict
        if self._ended is None:
            return None
        result, error = self._ended
        if error:
            return errors.call_failed(error, self._bound.trigger.id, self._bound.trigger.function, self._trace)
        return from_result(result, self._edge.cors.owned, self._bound.trigger.function) if result else None

    async def _silence(self, response: Channel) -> Response | Streamed:
        """The function has returned nothing: perhaps its channel is on its way."""
        patience = self._bound.patience
        reads = self._request_body is not None and self._request_body.being_read
        end = self._edge.loop.time() + patience.grace(reads=reads)
        timer = self._edge.loop.call_at(end, self._wake)
        try:
            while not response.touched and self._edge.loop.time() < end and self._settled() is None:
                await self._wait()
        finally:
            timer.cancel()
        if response.touched:
            return await self._stream(response)
        patience.was_quiet()
        return self._settled() or NOTHING

    async def _stream(self, channel: Channel) -> Response | Streamed:
        """The function writes to its channel: what comes first, a piece of the body or its result, is the response."""
        self._bound.patience.wrote()
        self._uploading().watch(empty=not has_body(self._headers))
        end = channel.attach_reader()
        head = Head()
        reading: asyncio.Task[tuple[bytes, bool]] | None = None
        try:
            while True:
                message: tuple[bytes, bool] | None
                if reading is not None and reading.done():
                    message, reading = reading.result(), None  # before what has come since
                else:
                    message = end.receive_nowait()
                if message is None and reading is None:
                    reading = self._edge.loop.create_task(end.receive())
                    reading.add_done_callback(self._wake)
                if message is not None:
                    data, text = message
                    if not text:
                        return self._begin(head, data, end)
                    head.control(data)
                elif (response := self._settled()) is not None:
                    return response
                else:
                    await self._wait()
        except ChannelClosed as closed:
            return await self._closed(head, closed)
        finally:
            if reading is not None:
                reading.cancel()

    def _begin(self, head: Head, data: bytes, end: ReaderEnd) -> Streamed:
        function = self._bound.trigger.function
        self._streamed = Streamed(self._edge, function, head.response(self._edge.cors.owned, data), end)
        return self._streamed

    async def _closed(self, head: Head, closed: ChannelClosed) -> Response:
        """The channel has ended without a body."""
        if whole(closed.code):
            return head.response(self._edge.cors.owned)
        while (response := self._settled()) is None:
            if self._ended is not None:
                return errors.error_response(500, codes.INVOCATION_STOPPED, "The response was not completed")
            await self._wait()
        return response

    # -- what wakes --------------------------------------------------------------------------------

    async def _wait(self) -> None:
        self._waiter = self._edge.loop.create_future()
        await self._waiter

    def _wake(self, _: object = None) -> None:
        if self._exchange.task is None:
            self._go_on()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _uploading(self) -> Upload:
        if self._upload is None:
            limit = self._edge.upload_limit
            self._upload = Upload(self._exchange.receive, self._text, limit, self._upload_too_large, self._client_gone)
        return self._upload

    def _begin_upload(self) -> None:
        if self._request_body is not None:
            self._uploading().begin(self._request_body)

    def _upload_too_large(self) -> None:
        self._verdict = too_large(self._edge.upload_limit)
        self._wake()

    def _client_gone(self) -> None:
        self._gone = True
        if self._streamed is not None:
            self._streamed.client_gone()
        self._wake()

    def end(self, status: int = 0) -> None:
        """The response is complete, or nobody waits for it: what the function still says is ignored. `status`, if it
        is yet to be sent."""
        self._edge.deadlines.end(self)
        span, self._span = self._span, None
        if span is not None:
            error = self._ended[1] if self._ended is not None else b""
            complete, cut = self._exchange.complete or status > 0, not self._exchange.disconnected
            spans.end(span, status or self._exchange.status, error, complete=complete, cut=cut)
        if self._called is not None:  # it may never end, and need not keep the request
            ends_later = self._streamed is not None and self._streamed.complete
            self._called.done = late(self._bound.trigger.function) if ends_later else None
        if self._upload is not None:
            self._upload.stop()
        for channel in (self._response, self._request_body):
            if channel is not None:
                channel.on_touch = None
                self._edge.channels.discard(channel)
