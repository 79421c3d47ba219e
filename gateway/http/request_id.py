"""Ids of requests: the client's own if it is harmless, else a new one."""

import os
import re
from itertools import count

HEADER = b"x-request-id"
MAX_LENGTH = 128

_SANE = re.compile(rb"[\x21-\x7e]{1,%d}" % MAX_LENGTH)


class RequestIds:
    """New ids: 12 random hexadecimal digits of this process and a number."""

    def __init__(self) -> None:
        self._prefix = os.urandom(6).hex()
        self._numbers = count(1)

    def new(self) -> str:
        return f"{self._prefix}-{next(self._numbers):x}"

    def of(self, given: bytes | None) -> str:
        """The id for a request with this header: `given` if it is 1 to 128 visible ASCII characters."""
        if given is not None and _SANE.fullmatch(given):
            return given.decode("ascii")
        return self.new()
