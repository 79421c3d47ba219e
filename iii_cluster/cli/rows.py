"""Tables and JSON for people and for programs that read line by line."""

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_rows(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """A table on a terminal, tab-separated lines elsewhere."""
    cells = [[plain(row.get(column)) for column in columns] for row in rows]
    console = Console()
    if not console.is_terminal:
        for line in [list(columns), *cells]:
            click.echo("\t".join(line))
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    console.print(table)


def json_lines(value: Any, levels: int, indent: str = "") -> str:
    """JSON whose outer `levels` have a line per member; what is further in stays on one line."""
    if not levels or not value or not isinstance(value, dict | list):
        return json.dumps(value)
    inner = indent + "  "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key)}: {json_lines(member, levels - 1, inner)}" for key, member in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    lines = [inner + json_lines(member, levels - 1, inner) for member in value]
    return "[\n" + ",\n".join(lines) + f"\n{indent}]"


def plain(value: object) -> str:
    """One line of text without control characters: names and descriptions are whatever workers say."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else " " for char in text)
