"""`${VAR}` and `${VAR:default}` in the raw text of a configuration file, comments included."""

import re
from collections.abc import Mapping

from .errors import ConfigError, InvalidConfig

# The reference's pattern: a default may be empty and may contain colons.
PLACEHOLDER = re.compile(r"\$\{([^}:]+)(?::([^}]*))?\}")


def expand(text: str, environ: Mapping[str, str], file: str) -> tuple[str, list[int]]:
    """The expanded text, and for each of its lines the line it came from (values may contain newlines).

    Raises InvalidConfig naming every variable that is unset and has no default.
    """
    parts: list[str] = []
    origins = [1]
    errors: list[ConfigError] = []
    line = 1
    end = 0

    for match in PLACEHOLDER.finditer(text):
        before = text[end : match.start()]
        for _ in range(before.count("\n")):
            line += 1
            origins.append(line)
        name, default = match.groups()
        value = environ.get(name, default)
        if value is None:
            errors.append(
                ConfigError(
                    file,
                    line,
                    f"environment variable {name} is not set",
                    f"set it, or write ${{{name}:default}}",
                )
            )
            value = ""
        origins.extend([line] * value.count("\n"))
        line += match.group().count("\n")
        parts += (before, value)
        end = match.end()

    rest = text[end:]
    for _ in range(rest.count("\n")):
        line += 1
        origins.append(line)
    parts.append(rest)
    if errors:
        raise InvalidConfig(errors)
    return "".join(parts), origins
