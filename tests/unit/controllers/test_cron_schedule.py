"""Cron schedules: the dialect, time zones, and the last missed time after a sleep."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from minikube_py.controllers.jobs.cron_schedule import last_due, parse_schedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "due"),
    [
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01:00"),
        ("*/15 * * * *", "2026-01-01T00:15:00", "2026-01-01T00:30:00"),
        ("5-20/5 3 * * *", "2026-01-01T03:10:30", "2026-01-01T03:15:00"),
        ("0 12 * * MON-FRI", "2026-01-02T12:00:00", "2026-01-05T12:00:00"),
        ("0 0 13 * 5", "2026-01-03T00:00:00", "2026-01-09T00:00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("@hourly", "2026-01-01T10:59:59", "2026-01-01T11:00:00"),
        ("@weekly", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("@every 90s", "2026-01-01T00:00:00", "2026-01-01T00:01:30"),
        ("30 4 ? jan,MAR *", "2026-01-31T05:00:00", "2026-03-01T04:30:00"),
    ],
)
def test_next_time(schedule: str, after: str, due: str) -> None:
    assert parse_schedule(schedule).next_after(at(after)) == at(due)


def test_time_zones_and_summer_time() -> None:
    zone = ZoneInfo("Europe/Berlin")
    schedule = parse_schedule("0 9 * * *")
    assert schedule.next_after(at("2026-03-28T00:00:00"), zone) == at("2026-03-28T08:00:00")
    assert schedule.next_after(at("2026-03-29T00:00:00"), zone) == at("2026-03-29T07:00:00")


@pytest.mark.parametrize(
    ("schedule", "after", "due"),
    [
        # 29 March: 2:00 to 3:00 is left out.
        ("30 2 * * *", "2026-03-28T12:00:00", "2026-03-30T00:30:00"),
        ("*/30 * * * *", "2026-03-29T00:30:00", "2026-03-29T01:00:00"),
        ("0 3 * * *", "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        # 25 October: 2:00 to 3:00 comes twice.
        ("30 2 * * *", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", "2026-10-25T00:30:00", "2026-10-25T01:30:00"),
        ("30 2 * * *", "2026-10-25T00:45:00", "2026-10-25T01:30:00"),
        ("30 2 * * *", "2026-10-25T01:30:00", "2026-10-26T01:30:00"),
        ("*/30 * * * *", "2026-10-25T00:30:00", "2026-10-25T01:00:00"),
        ("*/30 * * * *", "2026-10-25T01:00:00", "2026-10-25T01:30:00"),
        ("*/30 * * * *", "2026-10-25T01:30:00", "2026-10-25T02:00:00"),
        ("15 3 * * *", "2026-10-24T12:00:00", "2026-10-25T02:15:00"),
    ],
)
def test_days_on_which_clocks_change(schedule: str, after: str, due: str) -> None:
    assert parse_schedule(schedule).next_after(at(after), ZoneInfo("Europe/Berlin")) == at(due)


def test_every_half_hour_stays_every_half_hour_all_year() -> None:
    zone, moment = ZoneInfo("America/New_York"), at("2026-01-01T00:00:00")
    schedule = parse_schedule("*/30 * * * *")
    for _ in range(365 * 48):
        due = schedule.next_after(moment, zone)
        assert due is not None
        assert (due - moment).total_seconds() == 1800
        moment = due


@pytest.mark.parametrize(
    "text", ["", "* * * *", "60 * * * *", "* * * * 7", "5-3 * * * *", "*/0 * * * *", "@often", "x * * * *"]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_schedule(text)


def test_a_date_that_never_comes() -> None:
    assert parse_schedule("0 0 31 2 *").next_after(at("2026-01-01T00:00:00")) is None


@pytest.mark.parametrize(("now", "count"), [("2026-01-01T08:30:10", 51), ("2027-06-01T08:30:10", 101)])
def test_only_the_latest_missed_time_counts(now: str, count: int) -> None:
    due, missed = last_due(parse_schedule("*/10 * * * *"), at("2026-01-01T00:00:00"), at(now), None)
    assert due == at(now).replace(second=0)
    assert missed == count
