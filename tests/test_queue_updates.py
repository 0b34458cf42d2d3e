"""A queue's configuration, changed while it is in use."""

from __future__ import annotations

import pytest

from gaffer import Gaffer, InvalidQueueConf, Job, UnknownQueue
from tests.conftest import Gate, MakeGaffer, Polled, Recorder, quiet

AT_ONCE = 5.0
"""Seconds that are less than a runner waits when nobody tells it anything."""


def old(job: Job) -> str:
    return "old"


def new(job: Job) -> str:
    return "new"


def test_ensure_updates_a_queue_that_exists(manual: Gaffer) -> None:
    """B4 [T]."""
    manual.ensure_queue("q", max_workers=5)

    manual.ensure_queue("q", max_workers=20)

    assert manual.get_queue("q").max_workers == 20


def test_ensure_with_the_same_configuration_changes_nothing(manual: Gaffer) -> None:
    """B5 [T]."""
    before = manual.ensure_queue("q", max_workers=5).conf

    after = manual.ensure_queue("q", max_workers=5).conf

    assert after == before


def test_ensure_replaces_the_configuration_as_a_whole(manual: Gaffer) -> None:
    """B6 [D]."""
    manual.ensure_queue("q", max_workers=5, priority=3, prune={"interval": None})

    conf = manual.ensure_queue("q", max_workers=6).conf

    assert (conf.max_workers, conf.priority, conf.prune.interval) == (6, 0, 1.0)


def test_ensure_refuses_what_is_out_of_range_and_changes_nothing(manual: Gaffer) -> None:
    """B10 [T]."""
    before = manual.ensure_queue("q", max_workers=5).conf

    with pytest.raises(InvalidQueueConf) as caught:
        manual.ensure_queue("q", max_workers=0)

    assert caught.value.keys == {"max_workers"}
    assert manual.get_queue("q") == before


def test_update_changes_only_what_is_given(manual: Gaffer) -> None:
    """B11 [T]."""
    manual.create_queue("q", max_workers=3, global_max_workers=5, priority=2)

    manual.update_queue("q", global_max_workers=10)

    conf = manual.get_queue("q")
    assert (conf.max_workers, conf.global_max_workers, conf.priority) == (3, 10, 2)


def test_an_update_reaches_the_running_queue_at_once(gaffer_: Gaffer, gate: Gate) -> None:
    """B12 [T]."""
    queue = gaffer_.create_queue("q", worker=gate, poll_interval=60, max_workers=1)
    queue.insert_many([1, 2])
    gate.wait_for(1)

    queue.update(max_workers=2)

    assert {job.payload for job in gate.wait_for(2, AT_ONCE)} == {1, 2}


def test_update_refuses_unknown_options(manual: Gaffer) -> None:
    """B13 [T]."""
    before = manual.create_queue("q").conf

    with pytest.raises(InvalidQueueConf) as caught:
        manual.update_queue("q", max_workers=2, wings=2)

    assert caught.value.keys == {"wings"}
    assert manual.get_queue("q") == before


def test_update_refuses_to_change_nothing(manual: Gaffer) -> None:
    """B14 [T]."""
    manual.create_queue("q")

    with pytest.raises(InvalidQueueConf, match="nothing to change"):
        manual.update_queue("q")


@pytest.mark.parametrize(
    "changes", [{"name": "p"}, {"driver": "memory"}, {"name": "p", "driver": "memory"}]
)
def test_neither_name_nor_driver_can_be_updated(changes: dict[str, str], manual: Gaffer) -> None:
    """B15 [D]."""
    queue = manual.create_queue("q")

    with pytest.raises(InvalidQueueConf) as caught:
        queue.update(**changes)

    assert caught.value.keys == set(changes)


def test_update_merges_nested_options(manual: Gaffer) -> None:
    """B16 [D]."""
    manual.create_queue("a")
    manual.create_queue("b")
    manual.create_queue("q", prune={"max_age": {"failed": 7}}, forward={"failed": "a"})

    manual.update_queue("q", prune={"interval": 3}, forward={"completed": "b"})

    conf = manual.get_queue("q")
    assert conf.prune.interval == 3.0
    assert conf.prune.max_age == {"completed": 0.0, "failed": 7.0, "cancelled": 0.0}
    assert conf.forward == {"failed": "a", "completed": "b"}


def test_only_ensure_takes_a_nested_key_away(manual: Gaffer) -> None:
    """B17 [D]."""
    manual.create_queue("a")
    manual.create_queue("q", forward={"failed": "a"})

    updated = manual.update_queue("q", forward={})
    ensured = manual.ensure_queue("q").conf

    assert updated.forward == {"failed": "a"}
    assert ensured.forward == {}


def test_update_replaces_lists(manual: Gaffer, recorder: Recorder) -> None:
    """B18 [D]."""
    queue = manual.create_queue("q", hooks=[recorder], backoff=[1, 2, 3])

    conf = queue.update(hooks=[], backoff=[4])

    assert (conf.hooks, conf.backoff) == ((), (4.0,))
    before = len(recorder.events)
    queue.insert(1)
    assert len(recorder.events) == before


def test_a_running_job_ends_under_the_worker_that_it_began_with(
    gaffer_: Gaffer, gate: Gate
) -> None:
    """B19 [D]."""
    gate.answer = "old"
    queue = gaffer_.create_queue("q", worker=gate, **quiet(poll_interval=0.01))
    first = queue.insert(1)
    gate.wait_for(1)

    queue.update(worker=new)
    second = queue.insert(2)
    gate.let()
    queue.flush(10)

    assert queue.get(first.id).result == "old"
    assert queue.get(second.id).result == "new"


def test_the_next_poll_uses_the_new_worker(manual: Gaffer) -> None:
    """B19 [D]."""
    queue = manual.create_queue("q", worker=old, **quiet())
    first = queue.insert(1)
    queue.poll()

    queue.update(worker=new)
    second = queue.insert(2)
    queue.poll()

    assert [queue.get(job.id).result for job in (first, second)] == ["old", "new"]


def test_update_of_an_unknown_queue_names_it(manual: Gaffer) -> None:
    """B20."""
    with pytest.raises(UnknownQueue) as caught:
        manual.update_queue("nowhere", max_workers=2)

    assert caught.value.queue == "nowhere"


def test_update_refuses_to_forward_to_an_unknown_queue(manual: Gaffer) -> None:
    """B30 [T]."""
    manual.create_queue("q")

    with pytest.raises(InvalidQueueConf, match="dlq") as caught:
        manual.update_queue("q", forward={"failed": "dlq"})

    assert caught.value.keys == {"forward"}
    assert manual.get_queue("q").forward == {}


def test_ensure_leaves_a_paused_queue_paused(gaffer_: Gaffer) -> None:
    """B32 [T]."""
    queue = gaffer_.create_queue("q", worker=old, max_workers=1)
    queue.pause()

    gaffer_.ensure_queue("q", worker=old, max_workers=4)

    assert queue.info().status == "paused"
    assert queue.info().workers.max_local == 4


def test_a_shorter_poll_interval_holds_at_once(gaffer_: Gaffer, gate: Gate) -> None:
    """B33."""
    gate.let()
    queue = gaffer_.create_queue("q", worker=gate, **quiet())
    queue.insert(1)

    queue.update(poll_interval=0.01)

    assert [job.payload for job in gate.wait_for(1, AT_ONCE)] == [1]


def test_a_queue_polls_at_its_new_interval(
    make_gaffer: MakeGaffer, polled: Polled, gate: Gate
) -> None:
    """B33, B12 [T]."""
    gate.let()
    queue = make_gaffer(polled).create_queue("q", worker=gate, **quiet(poll_interval=3600))
    queue.insert(1)
    gate.wait_for(1)

    queue.update(poll_interval=0.01)

    polled.rounds("job_claim", 3)
    assert queue.conf.poll_interval == 0.01
