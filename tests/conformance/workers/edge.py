"""Handlers of HTTP requests and of channels, in the Python clients' own terms; both generations share them."""

import asyncio
import base64
import email.message
import email.parser
import email.policy
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

Request = Any
Response = Any
Say = Callable[..., None]  # tells the test an event
HttpHandler = Callable[[Request, Response], Awaitable[Any]]
ChannelHandler = Callable[[Any], Awaitable[Any]]

PROGRESS = 100  # records between two texts
EVENTS = (
    "id: 1\nevent: start\ndata: one\n\n",
    "id: 2\nevent: step\ndata: two\n\n",
    "id: 3\nevent: step\ndata: first line\ndata: second line\n\n",
    'id: 4\nevent: end\ndata: {"done":true}\n\n',
)


def sample(size: int) -> bytes:
    """Bytes that look like a PDF and hold every value."""
    return (b"%PDF-1.4\n" + bytes(range(256)) * (size // 256 + 1))[:size]


def http_handler(command: dict[str, Any], say: Say) -> HttpHandler:
    """What `command["handler"]` names."""

    async def show(request: Request, response: Response) -> Any:
        """What arrived, as JSON."""
        parts = ("path_params", "query_params", "method", "headers", "body")
        body = {part: getattr(request, part) for part in parts}
        headers = {"x-worker": command["worker"]}
        return {"status_code": command.get("status", 200), "headers": headers, "body": body}

    async def raw(request: Request, response: Response) -> Any:
        data = await request.request_body.read_all()
        return {"status_code": 200, "body": {"base64": base64.b64encode(data).decode(), "body": request.body}}

    async def download(request: Request, response: Response) -> None:
        await response.status(200)
        await response.headers({"content-type": "application/pdf", "x-kind": "file"})
        await response.writer.write(sample(command["size"]))
        await response.writer.close_async()

    async def upload(request: Request, response: Response) -> None:
        data = await request.request_body.read_all()
        await response.status(201)
        await response.headers({"content-type": "application/json"})
        answer = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        await response.writer.write(json.dumps(answer).encode())
        await response.writer.close_async()

    async def events(request: Request, response: Response) -> None:
        await response.status(200)
        await response.headers({"content-type": "text/event-stream", "cache-control": "no-cache"})
        for event in EVENTS:
            await response.writer.write(event.encode())
            await asyncio.sleep(0.01)
        await response.writer.close_async()

    async def form(request: Request, response: Response) -> Any:
        text = (await request.request_body.read_all()).decode()
        return {"status_code": 200, "body": {name: values[-1] for name, values in parse_qs(text).items()}}

    async def multipart(request: Request, response: Response) -> Any:
        data = await request.request_body.read_all()
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + data)
        return {"status_code": 200, "body": {_part_name(part): _part(part) for part in message.iter_parts()}}

    async def cookies(request: Request, response: Response) -> Any:
        return {"status_code": 200, "headers": ["Set-Cookie: a=1; Path=/", "Set-Cookie: b=2", "X-One: 1"], "body": {}}

    async def text(request: Request, response: Response) -> Any:
        return {"status_code": 200, "headers": {"Content-Type": "text/xml"}, "body": "<a>✓</a>"}

    async def typed(request: Request, response: Response) -> Any:
        return command["response_type"](status_code=201, body={"typed": True}, headers={"x-typed": "yes"})

    async def nothing(request: Request, response: Response) -> None:
        pass

    async def forgetful(request: Request, response: Response) -> None:
        """Returns before anything of its response has been sent."""
        messages = ({"type": "set_status", "status_code": 202}, {"type": "set_headers", "headers": {"x-late": "yes"}})
        for message in messages:
            response.writer.send_message(json.dumps(message))
        response.stream.end(b"later")

    async def late(request: Request, response: Response) -> None:
        """Answers when it is told to, whether anybody waits or not."""
        say("late", function=command["function"])
        await asyncio.to_thread(command["released"].wait)
        try:
            await response.status(200)
            await response.writer.write(b"too late")
            await response.writer.close_async()
        finally:
            say("late_done", function=command["function"])

    async def fail(request: Request, response: Response) -> None:
        raise ValueError(command["message"])

    named: dict[str, HttpHandler] = {
        "show": show,
        "raw": raw,
        "download": download,
        "upload": upload,
        "events": events,
        "form": form,
        "multipart": multipart,
        "cookies": cookies,
        "text": text,
        "typed": typed,
        "nothing": nothing,
        "forgetful": forgetful,
        "late": late,
        "fail": fail,
    }
    return named[command["handler"]]


def channel_handler(kind: str) -> ChannelHandler:
    """What reads or writes the ends that come with a call."""

    async def produce(data: Any) -> Any:
        """Records of a line each, a text now and then."""
        writer = data["writer"]
        for number in range(data["records"]):
            await writer.write(f'{{"n":{number},"pad":"{"x" * data.get("pad", 0)}"}}\n'.encode())
            if (number + 1) % PROGRESS == 0:
                await writer.send_message_async(json.dumps({"type": "progress", "done": number + 1}))
        await writer.close_async()
        return {"sent": data["records"]}

    async def consume(data: Any) -> Any:
        lines, texts = await _read(data["reader"])
        numbers = [json.loads(line)["n"] for line in lines]
        return {"received": len(numbers), "ordered": numbers == list(range(len(numbers))), "texts": texts}

    async def process(data: Any) -> Any:
        """Both ways at once: a text for every so many records that came in, the sum of them at the end."""
        writer, done, total, rest = data["writer"], 0, 0, b""
        async for piece in data["reader"]:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                done, total = done + 1, total + json.loads(line)["n"]
                if done % PROGRESS == 0:
                    await writer.send_message_async(json.dumps({"type": "progress", "done": done}))
        await writer.write(json.dumps({"n": total}).encode() + b"\n")
        await writer.close_async()
        return {"done": done}

    return {"produce": produce, "consume": consume, "process": process}[kind]


async def _read(reader: Any) -> tuple[list[bytes], list[Any]]:
    """The lines and the texts of a whole channel."""
    texts: list[Any] = []
    reader.on_message(lambda text: texts.append(json.loads(text)))
    data = await reader.read_all()
    return data.splitlines(), texts


def _part_name(part: email.message.Message) -> str:
    return str(part.get_param("name", header="content-disposition"))


def _part(part: email.message.Message) -> Any:
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    if part.get_filename() is None:
        return data.decode()
    file = {"name": part.get_filename(), "type": part.get_content_type()}
    return {**file, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
