"""A YAML file as plain data plus the line of everything in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError, InvalidConfig
from .expand import expand

Step = str | int
Place = tuple[Step, ...]  # keys and indexes from the root: ("workers", 0, "name")


class Document:
    """`root` is a dict, empty for an empty file. Lines are those of the file, before expansion."""

    def __init__(self, file: str, root: dict[str, Any], lines: dict[Place, int]) -> None:
        self.file = file
        self.root = root
        self._lines = lines

    def line(self, place: Place) -> int:
        """Line of the key or list item at `place`, or of the nearest thing around it."""
        while place not in self._lines:
            place = place[:-1]
        return self._lines[place]


def read_document(path: Path, environ: Mapping[str, str]) -> Document:
    """Reads, expands and composes a file. Raises InvalidConfig."""
    file = str(path)
    try:
        body = path.read_bytes()
    except OSError as error:
        raise InvalidConfig([ConfigError(file, 0, f"cannot be read: {error.strerror}")]) from None
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise InvalidConfig([ConfigError(file, line, "is not UTF-8 text")]) from None
    return parse_document(text, environ, file)


def parse_document(text: str, environ: Mapping[str, str], file: str) -> Document:
    expanded, origins = expand(text, environ, file)
    builder = _Builder(file, origins)
    try:
        root = builder.build(expanded)
    except yaml.reader.ReaderError as error:
        line = expanded.count("\n", 0, error.position)
        raise InvalidConfig([ConfigError(file, origins[line], "contains a character that YAML forbids")]) from None
    except yaml.MarkedYAMLError as error:
        # Only the problem: a quote of the line could show an expanded password.
        mark = error.problem_mark or error.context_mark
        at = builder.origin(mark.line) if mark else 0
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise InvalidConfig([ConfigError(file, at, f"is not valid YAML: {what}")]) from None
    except RecursionError:
        raise InvalidConfig([ConfigError(file, 1, "is nested too deeply")]) from None
    if builder.errors:
        raise InvalidConfig(builder.errors)
    if root is None:
        root = {}
    if not isinstance(root, dict):
        raise InvalidConfig([ConfigError(file, builder.lines[()], "must be a mapping with keys such as `cluster:`")])
    return Document(file, root, builder.lines)


class _Builder:
    """Turns YAML nodes into plain data and remembers where each came from."""

    def __init__(self, file: str, origins: list[int]) -> None:
        self.lines: dict[Place, int] = {(): 1}
        self.errors: list[ConfigError] = []
        self._file = file
        self._origins = origins
        self._open: set[int] = set()  # nodes being built: an alias to one of them never ends

    def build(self, text: str) -> Any:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            self.lines[()] = self.origin(node.start_mark.line)
            return self._value(loader, node, ())
        finally:
            loader.dispose()

    def origin(self, line: int) -> int:
        """The file's line (1-based) of an expanded line (0-based); the end mark may be one past the last."""
        return self._origins[min(line, len(self._origins) - 1)]

    def _value(self, loader: yaml.SafeLoader, node: yaml.Node, place: Place) -> Any:
        if isinstance(node, yaml.ScalarNode):
            try:
                return loader.construct_object(node)
            except ValueError:  # the resolver took it for a date or a number that does not exist
                return node.value
        if id(node) in self._open:
            self._error(node, "an alias contains itself")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._item(loader, item, (*place, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, yaml.MappingNode)
            return self._mapping(loader, node, place)
        finally:
            self._open.discard(id(node))

    def _item(self, loader: yaml.SafeLoader, node: yaml.Node, place: Place) -> Any:
        self.lines[place] = self.origin(node.start_mark.line)
        return self._value(loader, node, place)

    def _mapping(self, loader: yaml.SafeLoader, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        self._refuse_duplicates(node)
        loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._error(key, "a key must be plain text")
                continue
            inner = (*place, key.value)
            self.lines[inner] = self.origin(key.start_mark.line)
            result[key.value] = self._value(loader, value, inner)
        return result

    def _refuse_duplicates(self, node: yaml.MappingNode) -> None:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                self._error(key, f"`{key.value}` was already given on line {seen[key.value]}")
            seen[key.value] = self.origin(key.start_mark.line)

    def _error(self, node: yaml.Node, message: str) -> None:
        self.errors.append(ConfigError(self._file, self.origin(node.start_mark.line), message))
