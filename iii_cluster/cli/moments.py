"""Times as people read them."""

import time


def clock_time(ns: int) -> str:
    """`ns` since the epoch as local time of day, with milliseconds."""
    return f"{time.strftime('%H:%M:%S', time.localtime(ns // 10**9))}.{ns // 10**6 % 1000:03d}"


def date_time(ns: int) -> str:
    return f"{time.strftime('%Y-%m-%d', time.localtime(ns // 10**9))} {clock_time(ns)}"


def moment(ns: int) -> str:
    """The time of day, with the date if that is another one than today's."""
    today = time.localtime()[:3] == time.localtime(ns // 10**9)[:3]
    return clock_time(ns) if today else date_time(ns)


def duration(ns: int) -> str:
    """`840 µs`, `12.3 ms`, `4.56 s`."""
    if ns < 10**6:
        return f"{ns / 10**3:.0f} µs"
    if ns < 10**9:
        return f"{ns / 10**6:.1f} ms"
    return f"{ns / 10**9:.2f} s"
