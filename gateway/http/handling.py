"""One request, from its route to the head of its response."""

import asyncio
import logging
from collections.abc import Callable

from msgspec import Raw

from gateway.call import Call
from gateway.channels.channel import Channel
from gateway.channels.ends import ChannelClosed, ReaderEnd
from iii_cluster.protocol import errors as codes
from iii_cluster.protocol.errors import EngineError

from . import errors
from .edge import Edge
from .exchange import Exchange
from .middleware import verdict
from .request import NULL, is_json, json_body, middleware_input, payload, trace_of, with_channels
from .response import NOTHING, Response, from_result
from .routes import Match
from .streaming import Head, Streamed, whole
from .upload import TooLarge, Upload, read_all

log = logging.getLogger(__name__)

# How long a function that has returned nothing may take to open its response channel, seconds. Node connects only
# after the handler has returned; nothing is lost as long as that takes less than this.
GRACE = 1.0  # when nothing is known of it
GRACE_QUIET = 0.25  # it has returned nothing before, and has never written
GRACE_STREAMS = 5.0  # it has written to a channel before, or reads the body right now

HANDLER = "The function"
MIDDLEWARE = "Middleware"


class ClientGone(Exception):
    """Nobody waits for the response."""


class Handling:
    """Calls what is to be called. `answer` is awaited once, then its response sent, then `end` called."""

    __slots__ = (
        "_bound",
        "_called",
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
        "_stage",
        "_streamed",
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
    ) -> None:
        self._edge = edge
        self._bound, self._parameters = match
        self._exchange = exchange
        self._query = query
        self._headers = headers
        self._expired = False
        self._trace = trace_of(headers)
        self._waiter: asyncio.Future[None] | None = None
        self._ended: tuple[bytes, bytes] | None = None  # result and error of the function
        self._verdict: Response | None = None  # of the upload: too large
        self._gone = False
        self._called: Call | None = None
        self._response: Channel | None = None
        self._request_body: Channel | None = None
        self._upload: Upload | None = None
        self._streamed: Streamed | None = None
        self._stage = HANDLER  # who is to blame for a timeout
        self._text: bytes | None = None  # the body, if it was read

    async def answer(self) -> Response | Streamed:
        """The response, or the head of one, in time. Raises ClientGone."""
        self._edge.deadlines.begin(self)
        try:
            return await self._head()
        except asyncio.CancelledError:
            task = self._exchange.task
            if not self._expired or task is None or task.uncancel():
                raise
            return self._too_late()
        except (ClientGone, OSError):
            raise ClientGone from None
        except EngineError as error:  # this gateway has no room for more channels
            return errors.error_response(503, error.code, error.message)
        except Exception:
            log.exception("action=http_failed")
            return errors.error_response(500, errors.INTERNAL_ERROR, "internal server error")
        finally:
            self._edge.deadlines.end(self)

    def expire(self) -> None:
        self._expired = True
        if self._exchange.task is not None:
            self._exchange.task.cancel()

    def _too_late(self) -> Response:
        if self._stage is MIDDLEWARE:
            return errors.error_response(504, errors.MIDDLEWARE_TIMEOUT, "Middleware timeout")
        limit = self._edge.deadlines.limit
        return errors.error_response(504, codes.TIMEOUT, f"The function did not answer within {limit:g} s")

    async def _head(self) -> Response | Streamed:
        edge, bound = self._edge, self._bound
        for function in edge.middleware:
            if (response := await self._ask_middleware(function, "default")) is not None:
                return response
        body: Raw = NULL
        if is_json(self._headers.get("content-type", "")):
            if self._announced > edge.body_limit:
                return self._too_large(edge.body_limit)
            try:
                self._text = await read_all(self._exchange.receive, edge.body_limit)
            except TooLarge:
                return self._too_large(edge.body_limit)
            if self._text is None:
                raise ClientGone
            body = json_body(self._text)
        elif 0 < edge.upload_limit < self._announced:
            return self._too_large(edge.upload_limit)
        data = payload(bound, self._exchange.method, self._parameters, self._query, self._headers, body)
        if bound.condition:
            result, error = await self._ask(bound.condition, data, bound.trigger.namespace)
            if error:
                return errors.call_failed(error, bound.trigger.id, bound.condition)
            if result == b"false":
                return errors.error_response(422, errors.CONDITION_NOT_MET, "Request condition not met", skipped=True)
        for function in bound.middleware:
            if (response := await self._ask_middleware(function, bound.trigger.namespace)) is not None:
                return response
        channel = self._call(data)
        while not (self._ended or channel.touched or self._verdict or self._gone):
            await self._wait()
        if channel.touched:
            return await self._stream(channel)
        return self._settled() or await self._silence(channel)

    @property
    def _announced(self) -> int:
        """Bytes of the body as the client says."""
        length = self._headers.get("content-length", "")
        return int(length) if length.isdecimal() else 0

    @property
    def _has_body(self) -> bool:
        return self._announced > 0 or "transfer-encoding" in self._headers

    def _too_large(self, limit: int) -> Response:
        return errors.error_response(413, errors.PAYLOAD_TOO_LARGE, f"the body may have {limit} bytes")

    # -- functions that are asked before -----------------------------------------------------------

    async def _ask_middleware(self, function: str, namespace: str) -> Response | None:
        self._stage = MIDDLEWARE
        data = middleware_input(self._exchange.method, self._parameters, self._query, self._headers)
        result, error = await self._ask(function, data, namespace)
        self._stage = HANDLER
        if error:
            return errors.call_failed(error, self._bound.trigger.id, function)
        return verdict(function, result, self._edge.cors.owned)

    async def _ask(self, function: str, data: bytes, namespace: str) -> tuple[bytes, bytes]:
        """Result and error."""
        ended: asyncio.Future[tuple[bytes, bytes]] = self._edge.loop.create_future()

        def done(result: bytes, error: bytes) -> None:
            if not ended.done():
                ended.set_result((result, error))

        self._edge.start(Call(None, b"", namespace, function, data, self._trace, done=done))
        return await ended

    # -- the function itself -----------------------------------------------------------------------

    def _call(self, data: bytes) -> Channel:
        """Returns the channel for the response."""
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
        return response

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
            return errors.call_failed(error, self._bound.trigger.id, self._bound.trigger.function)
        return from_result(result, self._edge.cors.owned) if result else None

    async def _silence(self, response: Channel) -> Response | Streamed:
        """The function has returned nothing: perhaps its channel is on its way."""
        bound = self._bound
        reads = self._request_body is not None and self._request_body.being_read
        grace = GRACE_STREAMS if bound.streams or reads else GRACE_QUIET if bound.quiet else GRACE
        end = self._edge.loop.time() + grace
        timer = self._edge.loop.call_at(end, self._wake)
        try:
            while not response.touched and self._edge.loop.time() < end and self._settled() is None:
                await self._wait()
        finally:
            timer.cancel()
        if response.touched:
            return await self._stream(response)
        bound.quiet = True
        return self._settled() or NOTHING

    async def _stream(self, channel: Channel) -> Response | Streamed:
        """The function writes to its channel: what comes first, a piece of the body or its result, is the response."""
        self._bound.streams = True
        self._uploading().watch(empty=not self._has_body)
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
        if self._waiter is not None and not self._waiter.done():
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
        self._verdict = self._too_large(self._edge.upload_limit)
        self._wake()

    def _client_gone(self) -> None:
        self._gone = True
        if self._streamed is not None:
            self._streamed.client_gone()
        self._wake()

    def end(self) -> None:
        """The response is complete, or nobody waits for it: what the function still says is ignored."""
        if self._called is not None:  # it may never end, and need not keep the request
            ends_later = self._streamed is not None and self._streamed.complete
            self._called.done = _late(self._bound.trigger.function) if ends_later else None
        if self._upload is not None:
            self._upload.stop()
        for channel in (self._response, self._request_body):
            if channel is not None:
                channel.on_touch = None
                self._edge.channels.discard(channel)


def _late(function: str) -> Callable[[bytes, bytes], None]:
    """For the end of a call whose response is complete."""

    def done(_result: bytes, error: bytes) -> None:
        if error:
            errors.stream_failed(error, function, complete=True)

    return done
