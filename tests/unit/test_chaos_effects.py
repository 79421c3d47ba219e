import pytest

from iii_cluster.chaos.report.effects import EffectRow, effect_rows, effects_per_second
from iii_cluster.chaos.report.screen import Screen
from tests.support.chaos_effects import UNKNOWN, Effects
from tests.unit.test_chaos_report import made


@pytest.fixture
def story() -> Effects:
    return Effects()


def row(story: Effects, what: str) -> EffectRow:
    return next(one for one in effect_rows(story.history) if one.what == what)


def test_jobs_are_counted_by_what_became_of_them(story: Effects) -> None:
    for at in (5, 6):
        story.attempt(story.job(at), at + 0.5, at + 2.0)
    again = story.job(7)
    story.attempt(again, 8, 9)
    story.attempt(again, 9, 10)
    story.bury(story.job(8, doomed=True), 9)
    story.job(9)
    story.job(10, outcome=UNKNOWN)
    found = row(story, "queue mail")
    assert (found.asked, found.acknowledged, found.effects) == (6, 5, 3)
    assert (found.repeated, found.missing, found.dead, found.late) == (1, 1, 1, 3)
    assert (found.p50, found.max) == (2.0, 2.0)


def test_each_function_of_a_topic_has_its_row(story: Effects) -> None:
    story.attempt(story.job(5, "news"), 5.5, 6)
    assert row(story, "topic, f").effects == 1
    assert row(story, "topic, g").missing == 1


def test_ticks_that_came_late_again_or_never_are_counted(story: Effects) -> None:
    story.cron(5.0, 9.0)
    for scheduled, at in ((5.0, 5.1), (6.0, 8.0), (7.0, 7.1), (7.0, 7.2)):
        story.tick(scheduled, at)
    found = row(story, "cron job f")
    assert (found.asked, found.effects, found.repeated, found.missing, found.late) == (None, 3, 1, 2, 1)


def test_the_delay_of_a_change_counts_from_the_call_that_made_it(story: Effects) -> None:
    story.count(5, 1)
    story.notice(7, 1)
    story.change(8, 1)
    story.show(8.25, 1)
    story.publish(1, 9)
    story.hear(1, 9.5)
    found = {one.what: one.max for one in effect_rows(story.history)}
    assert found == {
        "state, increments": pytest.approx(0.1),
        "state, triggers": 2.0,
        "stream, shown": 0.25,
        "pub/sub, heard": 0.5,
    }


def test_what_was_not_loaded_has_no_row(story: Effects) -> None:
    assert effect_rows(story.history) == []
    assert effects_per_second(story.history) == {}


def test_effects_are_counted_by_the_second(story: Effects) -> None:
    story.history.ended = 8.0
    for at in (5.1, 5.9, 7.0):
        story.hear(1, at)
    assert effects_per_second(story.history) == {"pub/sub messages": [0, 0, 0, 0, 0, 2, 0, 1, 0]}


def test_the_table_of_effects_fits_into_80_columns(
    story: Effects, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    big = EffectRow(
        what="queue chaos-groups",
        asked=10000,
        acknowledged=9999,
        effects=9998,
        repeated=10,
        missing=0,
        dead=150,
        late=1234,
        p50=0.1,
        p99=0.9999,
        max=12.345,
    )
    report, _ = made(tmp_path)  # type: ignore[arg-type]
    report.effects.append(big)
    Screen(10).report(report)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("queue chaos-groups"))
    assert " ".join(line.split()) == "queue chaos-groups 10000 9999 9998 10 0 150 1234 999.9 ms 12.35 s"
