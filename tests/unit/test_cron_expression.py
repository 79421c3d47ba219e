"""The grammar of cron expressions."""

import pytest

from iii_cluster.modules.cron.expression import BadExpression, normal, parse

EVERY = tuple(range(60))
MONDAY_TO_FRIDAY = frozenset(range(2, 7))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("*", EVERY),
        ("*/15", (0, 15, 30, 45)),
        ("5/20", (5, 25, 45)),
        ("10-12", (10, 11, 12)),
        ("10-20/5", (10, 15, 20)),
        ("59,0,30", (0, 30, 59)),
        ("1-3,2-4,50/5", (1, 2, 3, 4, 50, 55)),
        ("*/60", (0,)),
        ("007", (7,)),
        ("7-7", (7,)),
        ("*,5", EVERY),
    ],
)
def test_lists_ranges_and_steps(text: str, seconds: tuple[int, ...]) -> None:
    assert parse(f"{text} * * * * *").seconds == seconds


@pytest.mark.parametrize(
    ("text", "weekdays"),
    [
        ("1", {1}),
        ("7", {7}),
        ("0", {1}),
        ("0,7", {1, 7}),
        ("sun", {1}),
        ("Saturday", {7}),
        ("tues,thurs,WED", {3, 4, 5}),
        ("mon-fri", MONDAY_TO_FRIDAY),
        ("2-6", MONDAY_TO_FRIDAY),
        ("mon/2", {2, 4, 6}),
        ("*/2", {1, 3, 5, 7}),
        ("?", set(range(1, 8))),
    ],
)
def test_weekdays_count_from_sunday(text: str, weekdays: set[int]) -> None:
    assert parse(f"0 0 0 ? * {text}").weekdays == weekdays


def test_months_and_years() -> None:
    expression = parse("0 0 0 1 jan,MARCH-may 1-7 2030/30")
    assert expression.months == (1, 3, 4, 5)
    assert expression.years == (2030, 2060, 2090)
    assert parse("* * * * * *").years == tuple(range(1970, 2101))


def test_five_fields_have_the_second_zero() -> None:
    assert parse("30 9 * * mon-fri") == parse("0 30 9 * * mon-fri")


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("@yearly", "0 0 0 1 1 *"),
        ("@monthly", "0 0 0 1 * *"),
        ("@weekly", "0 0 0 * * sun"),
        ("@daily", "0 0 0 * * *"),
        ("@hourly", "0 0 * * * *"),
    ],
)
def test_shorthands(short: str, long: str) -> None:
    assert parse(short) == parse(long)


def test_spaces_and_capitals_make_no_difference() -> None:
    assert parse("  0\t0  12 ? JAN   MON ") == parse("0 0 12 ? jan mon")
    assert normal("  0\t0  12 ? JAN   MON ") == "0 0 12 ? jan mon"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("* * * * * * * *", "8 fields"),
        ("60 * * * * *", "60 in the second, which goes from 0 to 59"),
        ("* 60 * * * *", "minute"),
        ("* * 24 * * *", "hour"),
        ("* * * 0 * *", "day of month"),
        ("* * * 32 * *", "day of month"),
        ("* * * * 0 *", "month"),
        ("* * * * 13 *", "month"),
        ("* * * * * 8", "day of week"),
        ("* * * * * 0-6", "count from 1"),
        ("* * * * * 0/2", "count from 1"),
        ("* * * * * 5-0", "count from 1"),
        ("* * * * * * 1969", "year"),
        ("* * * * * * 2101", "year"),
        ("*/0 * * * * *", "a step of 0 in the second"),
        ("5-1 * * * * *", "5-1 in the second ends before it begins"),
        ("* * * * * fri-mon", "ends before it begins"),
        ("? * * * * *", "`?` in the second"),
        ("* * * ?/2 * *", "`?` in the day of month"),
        ("* * * 1,? * *", "`?`"),
        ("* * * L * *", "`l` in the day of month"),
        ("* * * 15W * *", "`15w`"),
        ("* * * * * 2#1", "`2#1`"),
        ("* * * * * funday", "`funday`"),
        ("jan * * * * *", "`jan` in the second"),
        ("*/ * * * * *", "an empty part in the second"),
        ("-1 * * * * *", "an empty part in the second"),
        ("1,,2 * * * * *", "an empty part in the second"),
        ("1- * * * * *", "an empty part in the second"),
        ("0 0 0 * ,jan *", "an empty part in the month"),
        ("1/2/3 * * * * *", "`2/3`"),
        ("1-2-3 * * * * *", "`2-3`"),
        ("*-5 * * * * *", "`*`"),
        ("+5 * * * * *", "`+5`"),
        ("1.5 * * * * *", "`1.5`"),
        ("\u0665 * * * * *", "in the second"),
        ("9999999999 * * * * *", "in the second"),
        ("@reboot", "@reboot is none of"),
        ("@daily *", "is none of"),
        ("not a cron", "3 fields"),
        ("0," * 600 + "0 * * * * *", "longer than"),
    ],
)
def test_what_is_wrong_is_told(text: str, said: str) -> None:
    with pytest.raises(BadExpression) as caught:
        parse(text)
    assert said in str(caught.value)
