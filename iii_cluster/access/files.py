"""Small files that say who may connect and what proves who we are: certificates, tokens."""

MAX_FILE = 2**20  # bytes


class Unreadable(OSError):
    """A file cannot be read; the text says which and why, in one line."""

    def __str__(self) -> str:
        return str(self.args[0])


def unreadable(error: OSError) -> Unreadable:
    return Unreadable(f"cannot read {error.filename}: {error.strerror}")


def content_of(path: str) -> bytes:
    """Raises Unreadable."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise unreadable(error) from None
    if len(content) > MAX_FILE:
        raise Unreadable(f"{path} has more than {MAX_FILE} bytes")
    return content
