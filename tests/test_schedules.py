"""Schedules: when slots are, and that each gets its job once."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gaffer import Cron, Every, Gaffer, InvalidQueueConf, JobInserted, Queue
from gaffer.driver import Driver
from gaffer.schedules import MOST, Recurring
from gaffer.testing.doubles import FaultyDriver
from gaffer.testing.harness import DriverHarness
from gaffer_driver_memory import MemoryDriver
from tests.conftest import MakeGaffer, Recorder, quiet
from tests.rig.waiting import until

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def at(text: str) -> datetime:
    """Return an instant, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def slots(schedule: Recurring, after: datetime, number: int) -> list[str]:
    """Return the next slots, as the clocks of Stockholm show them."""
    found: list[str] = []
    while len(found) < number:
        slot = schedule.next(after)
        assert slot is not None
        after = slot
        found.append(slot.astimezone(STOCKHOLM).isoformat())
    return found


# -- slots -----------------------------------------------------------------------------------------


def test_an_interval_is_counted_from_one_beginning() -> None:
    five = Every(minutes=5)

    assert five.next(at("2026-06-01T12:03:20Z")) == at("2026-06-01T12:05:00Z")
    assert five.next(at("2026-06-01T12:05:00Z")) == at("2026-06-01T12:10:00Z")
    back = five.back(at("2026-06-01T12:05:00Z"))
    assert [next(back), next(back)] == [at("2026-06-01T12:05:00Z"), at("2026-06-01T12:00:00Z")]


def test_intervals_that_differ_have_keys_that_differ() -> None:
    keys = [Every(days=30).key, Every(days=30, seconds=1).key, Every(seconds=1.5).key]

    assert keys == ["every 2592000 s", "every 2592001 s", "every 1.5 s"]


def test_a_daily_slot_of_the_hour_that_is_left_out_comes_right_after_it() -> None:
    night = Cron("30 2 * * *", timezone="Europe/Stockholm")

    assert slots(night, at("2026-03-28T12:00:00Z"), 2) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_a_daily_slot_of_the_hour_that_comes_twice_comes_once() -> None:
    night = Cron("30 2 * * *", timezone="Europe/Stockholm")

    assert slots(night, at("2026-10-24T12:00:00Z"), 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


def test_hourly_slots_go_on_by_the_hour_whatever_clocks_do() -> None:
    hourly = Cron("0 * * * *", timezone="Europe/Stockholm")

    spring = slots(hourly, at("2026-03-29T00:30:00+01:00"), 3)
    autumn = slots(hourly, at("2026-10-25T00:30:00+02:00"), 4)

    assert [one[11:] for one in spring] == ["01:00:00+01:00", "03:00:00+02:00", "04:00:00+02:00"]
    assert [one[11:] for one in autumn] == [
        "01:00:00+02:00", "02:00:00+02:00", "02:00:00+01:00", "03:00:00+01:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "schedule",
    [
        Every(hours=7),
        Cron("*/17 * * * *"),
        Cron("30 2 * * *", timezone="Europe/Stockholm"),
        Cron("0 * * * *", timezone="Europe/Stockholm"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("begin", ["2026-03-28T00:00:00Z", "2026-10-24T00:00:00Z"])
def test_slots_are_the_same_forwards_and_back(schedule: Recurring, begin: str) -> None:
    """Over both changes of the clocks."""
    first, end = at(begin), at(begin) + timedelta(days=3)
    forwards: list[datetime] = []
    slot = schedule.next(first)
    while slot is not None and slot <= end:
        forwards.append(slot)
        slot = schedule.next(slot)

    backwards = []
    for slot in schedule.back(end):
        if slot <= first:
            break
        backwards.append(slot)

    assert backwards[::-1] == forwards
    assert len(forwards) >= 3


def test_the_policy_says_which_of_the_missed_get_a_job() -> None:
    last, now = at("2026-06-01T12:00:00Z"), at("2026-06-01T12:31:30Z")
    latest = at("2026-06-01T12:30:00Z")

    def due(missed: Any, minutes: int = 10) -> tuple[datetime | None, list[datetime]]:
        return Every(minutes=minutes, missed=missed).due(last, now)

    assert due("latest") == (latest, [latest])
    assert due("all") == (latest, [latest - timedelta(minutes=n) for n in (20, 10, 0)])
    assert due("skip") == (latest, [])
    fresh = now - timedelta(seconds=30)
    assert due("skip", minutes=1) == (fresh, [fresh])
    assert due("latest", minutes=60) == (None, [])


def test_of_very_many_missed_slots_the_latest_thousand_get_a_job() -> None:
    latest, found = Every(seconds=1, missed="all").due(
        at("2026-06-01T12:00:00Z"), at("2026-06-02T12:00:00Z")
    )

    assert (len(found), found[-1]) == (MOST, latest)


# -- what is refused -------------------------------------------------------------------------------

WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: Cron("every day"), "must be five fields"),
    (lambda: Cron("61 * * * *"), "Bad minute"),
    (lambda: Cron("0 0 * * *", timezone="Mars/Olympus"), "timezone='Mars/Olympus'"),
    (lambda: Cron("0 0 * * *", timezone="../etc/passwd"), "timezone="),
    (lambda: Cron("0 0 * * *", missed="some"), "missed='some'"),  # type: ignore[arg-type]
    (lambda: Cron("0 0 * * *", name=""), "name=''"),
    (lambda: Every(minutes=5, name="a\0b"), "without NUL"),
    (lambda: Every(minutes=5, name="\ud800"), "without NUL"),
    (lambda: Every(seconds=float("nan")), "Every: "),
    (lambda: Cron("0 0 * * *", delay=5), "unknown: delay"),
    (lambda: Every(), "not between a second and a year"),
    (lambda: Every(days=400), "not between a second and a year"),
    (lambda: Every(minutes="5"), "Every: "),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "says"), WRONG, ids=[says for _, says in WRONG])
def test_a_schedule_that_is_none_is_refused_where_it_is_made(
    make: Callable[[], object], says: str
) -> None:
    with pytest.raises(InvalidQueueConf, match=says) as caught:
        make()

    assert caught.value.keys == {"schedules"}


@pytest.mark.parametrize(
    ("schedules", "says"),
    [
        ("0 0 * * *", "must be a list or tuple of Cron and Every"),
        ([Every(minutes=1), Every(seconds=60)], "twice: every 60 s; give them names"),
        ([Every(minutes=1, timeout=-1)], "timeout=-1"),
    ],
)
def test_schedules_that_a_queue_cannot_have_are_refused(
    schedules: Any, says: str, manual: Gaffer
) -> None:
    with pytest.raises(InvalidQueueConf, match=says):
        manual.ensure_queue("q", schedules=schedules)

    assert manual.list_queues() == {}


def test_a_storage_that_keeps_no_schedules_has_none(manual: Gaffer, faulty: FaultyDriver) -> None:
    faulty.schedule_last = lambda queue, name: Driver.schedule_last(faulty, queue, name)  # type: ignore[method-assign]

    with pytest.raises(InvalidQueueConf, match="FaultyDriver keeps no schedules"):
        manual.ensure_queue("q", driver=faulty, schedules=[Every(minutes=1)])


def test_without_the_library_cron_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)

    with pytest.raises(InvalidQueueConf, match=r"pip install 'gaffer-queue\[schedules\]'"):
        Cron("0 0 * * *")


# -- jobs ------------------------------------------------------------------------------------------


def hourly(app: Gaffer, **options: Any) -> Queue:
    """Declare a queue with a slot each hour, worked when it is polled."""
    schedule = Every(hours=1, payload={"report": 1}, kind="k", **options)
    return app.ensure_queue("q", worker=lambda job: None, **quiet(schedules=[schedule]))


def test_a_new_schedule_begins_with_its_next_slot(manual: Gaffer, harness: DriverHarness) -> None:
    queue = hourly(manual)

    assert queue.poll() == 0
    harness.advance(3600)
    assert queue.poll() == 1

    [job] = queue.list()
    assert (job.payload, job.kind, job.state) == ({"report": 1}, "k", "completed")
    assert job.scheduled_at is not None
    assert job.scheduled_at.minute == job.scheduled_at.second == 0
    assert queue.poll() == 0


def test_a_schedule_goes_on_after_the_clock_was_ahead_for_a_while(
    manual: Gaffer, harness: DriverHarness, driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    queue = hourly(manual)
    [schedule] = queue.conf.schedules
    ahead = driver.now() + timedelta(days=400)
    driver.schedule_advance("q", schedule.key, None, ahead, [])

    queue.poll()
    harness.advance(3600)

    assert queue.poll() == 1
    assert "goes on from now" in caplog.text


def test_a_payload_may_be_made_of_its_slot(manual: Gaffer, harness: DriverHarness) -> None:
    schedule = Every(hours=1, payload=lambda slot: {"hour": slot.isoformat()})
    queue = manual.ensure_queue("q", worker=lambda job: None, **quiet(schedules=[schedule]))
    queue.poll()
    harness.advance(3600)

    queue.poll()

    [job] = queue.list()
    assert job.scheduled_at is not None
    assert job.payload == {"hour": job.scheduled_at.isoformat()}


@pytest.mark.parametrize(("missed", "number"), [("latest", 1), ("all", 3), ("skip", 0)])
def test_after_a_time_without_processes_the_policy_holds(
    missed: Any, number: int, make_gaffer: MakeGaffer, harness: DriverHarness, driver: Driver
) -> None:
    first = make_gaffer(work=False)
    hourly(first, missed=missed).poll()
    first.stop()
    now = driver.now()
    past = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=3, minutes=5)
    harness.advance((past - now).total_seconds())

    queue = hourly(make_gaffer(work=False), missed=missed)

    assert queue.poll() == min(number, 1)
    assert len(queue.list()) == number


def test_two_processes_insert_a_slot_once(
    make_gaffer: MakeGaffer, harness: DriverHarness, recorder: Recorder
) -> None:
    apps = [make_gaffer(work=False, hooks=[recorder]) for _ in range(2)]
    queues = [hourly(app) for app in apps]
    for queue in queues:
        queue.poll()

    for _ in range(3):
        harness.advance(3600)
        threads = [threading.Thread(target=queue.poll) for queue in queues]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    assert len(queues[0].list()) == 3
    assert [event.actor for event in recorder.of(JobInserted)] == ["runner"] * 3


def test_a_paused_queue_gets_its_jobs_and_works_them_later(
    manual: Gaffer, harness: DriverHarness
) -> None:
    queue = hourly(manual)
    queue.poll()
    queue.pause()
    harness.advance(3600)

    queue.poll()

    assert len(queue.list()) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_slot_that_storage_did_not_take_is_tried_again_and_comes_once(
    after: bool,
    make_gaffer: MakeGaffer,
    faulty: FaultyDriver,
    harness: DriverHarness,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make_gaffer(faulty, work=False)
    queue = hourly(app)
    queue.poll()
    harness.advance(3600)
    faulty.fail("schedule_advance", after=after)

    queue.poll()
    queue.poll()

    assert len(queue.list()) == 1
    assert "waits: " in caplog.text


def test_a_slot_whose_job_is_there_already_is_passed(
    make_gaffer: MakeGaffer, harness: DriverHarness, driver: Driver
) -> None:
    app = make_gaffer(work=False)
    queue = hourly(app)
    queue.poll()
    harness.advance(3600)
    [schedule] = queue.conf.schedules
    slot = next(iter(schedule.back(driver.now())))
    queue.insert("by hand", id=schedule.id_of("q", slot), delay=9000)

    queue.poll()

    assert [job.payload for job in queue.list()] == ["by hand"]
    assert driver.schedule_last("q", schedule.key) == slot


def test_a_missed_slot_whose_job_is_there_already_hinders_no_other(
    make_gaffer: MakeGaffer, harness: DriverHarness, driver: Driver
) -> None:
    queue = hourly(make_gaffer(work=False), missed="all")
    queue.poll()
    harness.advance(3 * 3600)
    [schedule] = queue.conf.schedules
    slot = list(islice(schedule.back(driver.now()), 2))[1]
    queue.insert("by hand", id=schedule.id_of("q", slot), delay=9000)

    queue.poll()

    payloads = [job.payload for job in queue.list()]
    assert sorted(map(str, payloads)) == ["by hand", *[str({"report": 1})] * 2]


def test_a_payload_that_cannot_be_made_is_tried_again_and_harms_no_other(
    manual: Gaffer, harness: DriverHarness, caplog: pytest.LogCaptureFixture
) -> None:
    well: list[int] = []

    def payload(slot: datetime) -> int:
        if not well:
            raise RuntimeError("no figures yet")
        return 1

    both = [Every(hours=1, payload=payload, name="odd"), Every(hours=1, payload=2)]
    queue = manual.ensure_queue("q", worker=lambda job: None, **quiet(schedules=both))
    queue.poll()
    harness.advance(3600)

    with caplog.at_level(logging.ERROR, "gaffer.scheduler"):
        queue.poll()
    assert [job.payload for job in queue.list()] == [2]
    assert "no figures yet" in caplog.text

    well.append(1)
    queue.poll()
    assert sorted(job.payload for job in queue.list()) == [1, 2]


def test_a_schedule_that_says_something_else_begins_anew(
    manual: Gaffer, harness: DriverHarness
) -> None:
    queue = hourly(manual, name="report")
    queue.poll()
    harness.advance(3 * 3600)

    queue.update(schedules=[Every(minutes=5, name="report")])
    queue.poll()

    assert queue.list() == []


# -- the thread ------------------------------------------------------------------------------------


def test_a_process_that_works_inserts_by_itself_and_stops_at_once(make_gaffer: MakeGaffer) -> None:
    app = make_gaffer(MemoryDriver(), work=True)
    ran: list[Any] = []
    queue = app.ensure_queue(
        "q", worker=lambda job: ran.append(job.payload), schedules=[Every(seconds=1, payload=7)]
    )

    until(lambda: len(ran) >= 2)

    app.stop()
    assert {*ran} == {7}
    assert not any("scheduler" in thread.name for thread in threading.enumerate())
    assert queue.name == "q"


def test_schedules_that_are_added_later_are_kept_too(make_gaffer: MakeGaffer) -> None:
    app = make_gaffer(MemoryDriver(), work=True)
    ran: list[Any] = []
    queue = app.ensure_queue("q", worker=lambda job: ran.append(job.payload))

    queue.update(schedules=[Every(seconds=1, payload=7)])

    until(lambda: ran)


def test_a_process_that_only_inserts_runs_no_schedule(
    make_gaffer: MakeGaffer, driver: Driver
) -> None:
    queue = make_gaffer(work=False).ensure_queue("q", schedules=[Every(seconds=1)])

    [schedule] = queue.conf.schedules
    assert driver.schedule_last("q", schedule.key) is None
