"""The instants that an expression names. Pure: seconds since 1970, UTC, in and out."""

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime

from .expression import Expression

DAY = 86_400  # seconds
EPOCH = date(1970, 1, 1).toordinal()


def next_after(expression: Expression, instant: int) -> int | None:
    """The first named instant later than `instant`, None when there is none any more."""
    day, second = divmod(max(instant + 1, 0), DAY)
    first = _date(day)
    if first is None:
        return None
    if _fits(expression, first):
        at = _time(expression, second)
        if at is not None:
            return day * DAY + at
    start = _time(expression, 0)
    assert start is not None
    for later in _days(expression, first):
        return (later.toordinal() - EPOCH) * DAY + start
    return None


def _date(day: int) -> date | None:
    try:
        return date.fromordinal(EPOCH + day)
    except (ValueError, OverflowError):
        return None


def _fits(expression: Expression, day: date) -> bool:
    return (
        day.day in expression.days
        and day.month in expression.months
        and day.isoweekday() % 7 + 1 in expression.weekdays
        and day.year in expression.years
    )


def _days(expression: Expression, after: date) -> Iterator[date]:
    """All that fit, later than `after`."""
    for year in expression.years[bisect_left(expression.years, after.year) :]:
        for month in expression.months:
            if (year, month) < (after.year, after.month):
                continue
            last = monthrange(year, month)[1]
            for number in expression.days:
                if number > last:
                    break
                day = date(year, month, number)
                if day > after and day.isoweekday() % 7 + 1 in expression.weekdays:
                    yield day


def _time(expression: Expression, earliest: int) -> int | None:
    """The first second of a day that fits, not before `earliest`."""
    hours, minutes, seconds = expression.hours, expression.minutes, expression.seconds
    hour, rest = divmod(earliest, 3600)
    minute, second = divmod(rest, 60)
    at = bisect_left(hours, hour)
    if at < len(hours) and hours[at] == hour:
        in_hour = bisect_left(minutes, minute)
        if in_hour < len(minutes) and minutes[in_hour] == minute:
            in_minute = bisect_left(seconds, second)
            if in_minute < len(seconds):
                return hour * 3600 + minute * 60 + seconds[in_minute]
            in_hour += 1
        if in_hour < len(minutes):
            return hour * 3600 + minutes[in_hour] * 60 + seconds[0]
        at += 1
    if at < len(hours):
        return hours[at] * 3600 + minutes[0] * 60 + seconds[0]
    return None


def rfc3339(instant: int) -> str:
    """2026-01-01T02:00:00+00:00"""
    return datetime.fromtimestamp(instant, UTC).isoformat()


def rfc3339_micros(micros: int) -> str:
    """2026-01-01T02:00:00.004211+00:00, from microseconds since 1970."""
    seconds, fraction = divmod(micros, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=fraction).isoformat(timespec="microseconds")
