"""The instants that an expression names, against a search second by second."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iii_cluster.modules.cron.expression import Expression, parse
from iii_cluster.modules.cron.instants import next_after, rfc3339, rfc3339_micros


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * * *", "2026-01-01T00:00:00", "2026-01-01T00:00:01"),
        ("0 0 2 * * *", "2026-01-01T02:00:00", "2026-01-02T02:00:00"),
        ("0 0 2 * * *", "2026-01-01T01:59:59", "2026-01-01T02:00:00"),
        ("0 0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 0 29 2 *", "2096-02-29T00:00:00", None),  # 2100 is no leap year
        ("0 0 0 30 2 *", "2026-01-01T00:00:00", None),
        ("0 0 0 31 * *", "2026-03-31T00:00:00", "2026-05-31T00:00:00"),
        ("0 0 12 13 * fri", "2026-01-01T00:00:00", "2026-02-13T12:00:00"),  # both day fields must fit
        ("0 0 0 29 2 mon 2096", "2026-01-01T00:00:00", None),
        ("0 0 0 29 2 wed 2096", "2026-01-01T00:00:00", "2096-02-29T00:00:00"),
        ("0 30 9 * * mon-fri", "2026-01-02T09:30:00", "2026-01-05T09:30:00"),
        ("@weekly", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("59 59 23 31 12 * 2100", "2026-01-01T00:00:00", "2100-12-31T23:59:59"),
        ("* * * * * * 2025", "2026-01-01T00:00:00", None),
        ("* * * * * *", "2100-12-31T23:59:59", None),
        ("0 0 0 1 1 ? 1970", "1970-01-01T00:00:00", None),
        ("0 0 0 1 1 * 2030/30", "2030-01-01T00:00:00", "2060-01-01T00:00:00"),
    ],
)
def test_the_next_instant(expression: str, after: str, expected: str | None) -> None:
    assert next_after(parse(expression), at(after)) == (None if expected is None else at(expected))


def test_the_edges_of_time() -> None:
    every = parse("* * * * * *")
    assert next_after(every, -1) == 0
    assert next_after(every, -(10**12)) == 0
    assert next_after(every, 10**15) is None


def some(low: int, high: int, most: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(low, high), min_size=1, max_size=most).map(lambda values: tuple(sorted(values)))


EXPRESSIONS = st.builds(
    Expression,
    some(0, 59),
    some(0, 59),
    some(0, 23),
    some(1, 31, 12),
    some(1, 12, 6),
    some(1, 7, 5).map(frozenset),
    some(2023, 2029, 3),
)


def fits_day(expression: Expression, day: datetime) -> bool:
    weekday = (day.weekday() + 1) % 7 + 1  # Monday is 0 there, Sunday is 1 here
    return (
        day.year in expression.years
        and day.month in expression.months
        and day.day in expression.days
        and weekday in expression.weekdays
    )


def fits(expression: Expression, moment: datetime) -> bool:
    time = moment.second in expression.seconds and moment.minute in expression.minutes
    return time and moment.hour in expression.hours and fits_day(expression, moment)


@given(EXPRESSIONS, st.integers(at("2024-02-27T00:00:00"), at("2024-03-03T00:00:00")))
@settings(max_examples=150)
def test_no_second_is_left_out_or_made_up(expression: Expression, after: int) -> None:
    expression = expression._replace(days=tuple(range(1, 32)), months=tuple(range(1, 13)), years=(2024,))
    found = next_after(expression, after)
    horizon = after + 7 * 3600
    moments = (datetime.fromtimestamp(second, UTC) for second in range(after + 1, horizon))
    expected = next((int(moment.timestamp()) for moment in moments if fits(expression, moment)), None)
    assert expected == (found if found is not None and found < horizon else None)
    if found is not None:
        assert fits(expression, datetime.fromtimestamp(found, UTC))


@given(EXPRESSIONS, st.integers(at("2022-06-01T00:00:00"), at("2030-06-01T00:00:00")))
@settings(max_examples=300)
def test_no_day_is_left_out_or_made_up(expression: Expression, after: int) -> None:
    expression = expression._replace(hours=(12,), minutes=(0,), seconds=(0,))
    noon = datetime.fromtimestamp(after, UTC).replace(hour=12, minute=0, second=0)
    if noon.timestamp() <= after:
        noon += timedelta(days=1)
    while noon.year < 2031 and not fits_day(expression, noon):
        noon += timedelta(days=1)
    expected = int(noon.timestamp()) if noon.year < 2031 else None
    assert next_after(expression, after) == expected


def test_times_are_written_as_handlers_expect_them() -> None:
    tick = at("2026-01-01T02:00:00")
    assert rfc3339(tick) == "2026-01-01T02:00:00+00:00"
    assert rfc3339_micros(tick * 1_000_000 + 4211) == "2026-01-01T02:00:00.004211+00:00"
    assert rfc3339_micros(tick * 1_000_000) == "2026-01-01T02:00:00.000000+00:00"
