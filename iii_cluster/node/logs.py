"""Logging of every process: one line per record on stderr, key=value, without secrets."""

import logging
import re
import sys
import time

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_PASSWORDS = re.compile(r"(?<=[?&]password=)[^&\s]*")


def redact(text: str) -> str:
    """`text` without the user and password of any URL in it."""
    return _PASSWORDS.sub("***", _CREDENTIALS.sub("***@", text))


class LineFormatter(logging.Formatter):
    """`<UTC time> level=info logger=<name> <message>`; line breaks, as in tracebacks, are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        parts = [record.getMessage()]
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        text = redact("\n".join(parts)).replace("\r", "\\r").replace("\n", "\\n")
        return f"{moment}.{int(record.msecs):03d}Z level={record.levelname.lower()} logger={record.name} {text}"


def set_up(level: str) -> None:
    """Send records of `level` ("debug", "info", "warning", "error") and above to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries that narrate.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
