"""The heartbeat: who counts as alive, and who may look for the silent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from gaffer.driver import Claim, Driver, DriverUnavailable, Job
from gaffer.heartbeat import Heartbeat
from gaffer.testing.doubles import FaultyDriver, ManualClock
from gaffer.testing.model import ModelDriver
from gaffer.testing.oracle import ModelStore
from gaffer.testing.values import new_job

BEAT, LEASE = 5.0, 20.0


@dataclass
class Scene:
    """A node that beats, a job of another one, and the clocks of the process and the storage."""

    process: ManualClock = field(default_factory=ManualClock)
    stored: ManualClock = field(default_factory=ManualClock)
    rescued: list[UUID] = field(default_factory=list)
    lapses: list[tuple[str, ...]] = field(default_factory=list)
    lives: int = 0

    def __post_init__(self) -> None:
        self.driver = FaultyDriver(ModelDriver(ModelStore(self.stored)))
        self.heart = Heartbeat(
            self.driver,
            self._new_node,
            interval=BEAT,
            lease=LEASE,
            clock=self.process,
            rescue=self._rescue,
            lapsed=lambda driver: self.lapses.append(self.heart.nodes),
        )
        self.driver.queue_insert("q")
        self.driver.node_beat("other")
        self.job = self.claimed("other")

    def _new_node(self) -> str:
        self.lives += 1
        return f"me {self.lives}"

    def sleep(self, seconds: float) -> None:
        """Let time pass for all, while the node does nothing."""
        self.process.advance(seconds)
        self.stored.advance(seconds)

    def orphans(self) -> list[UUID]:
        return [job.id for job in self.driver.job_orphans(None, LEASE)]

    def claimed(self, node: str) -> Job:
        self.driver.job_write([new_job("q", 1)])
        claim = Claim(queue="q", limit=1, global_max_workers=None, node=node, now=self.driver.now())
        return self.driver.job_claim(claim)[0]

    def _rescue(self, driver: Driver, orphans: Sequence[Job], lease: float) -> None:
        self.rescued += [job.id for job in orphans]

    def live(self, seconds: float, *, beat: float = BEAT) -> None:
        """Let time pass for all, and the node beat and look for orphans meanwhile."""
        for _ in range(round(seconds / beat)):
            self.process.advance(beat)
            self.stored.advance(beat)
            self.heart.step()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_jobs_of_a_silent_node_are_found_by_one_that_beat_for_a_lease(scene: Scene) -> None:
    scene.heart.beat()

    scene.live(LEASE - BEAT)
    early = list(scene.rescued)
    scene.live(BEAT)

    assert early == []
    assert scene.rescued == [scene.job.id]


def test_a_node_that_has_just_begun_does_not_look(scene: Scene) -> None:
    """F4."""
    scene.stored.advance(100 * LEASE)

    scene.heart.beat()
    scene.heart.sweep()

    assert scene.rescued == []


def test_after_an_outage_nobody_is_rescued_before_a_lease_of_beats(scene: Scene) -> None:
    """F4."""
    scene.heart.beat()
    scene.driver.fail("node_beat", times=None)
    with pytest.raises(DriverUnavailable):
        scene.live(3 * LEASE)
    scene.process.advance(3 * LEASE)
    scene.stored.advance(3 * LEASE)
    scene.driver.heal()

    scene.heart.beat()
    scene.heart.sweep()
    scene.live(LEASE - BEAT)

    assert scene.rescued == []


@pytest.mark.parametrize("jump", [3600.0, LEASE * 0.9])
def test_after_a_jump_of_the_storages_clock_nobody_is_rescued_before_a_lease_of_beats(
    scene: Scene, jump: float
) -> None:
    """F49."""
    scene.heart.beat()
    scene.live(LEASE - BEAT)
    scene.driver.node_beat("other")

    scene.stored.advance(jump)
    scene.live(BEAT)
    found_at_once = list(scene.rescued)
    scene.driver.node_beat("other")
    scene.live(LEASE - BEAT)

    assert found_at_once == []
    assert scene.rescued == []


def test_a_node_that_was_suspended_beats_before_it_counts_as_alive(scene: Scene) -> None:
    """F2."""
    scene.heart.ensure()
    beats = scene.driver.calls.count("node_beat")

    scene.process.advance(LEASE)
    scene.heart.ensure()
    scene.heart.ensure()

    assert scene.driver.calls.count("node_beat") == beats + 1
    scene.heart.stop()


def test_no_claim_is_made_when_no_beat_arrives(scene: Scene) -> None:
    """F5."""
    scene.driver.fail("node_beat", times=1)

    with pytest.raises(DriverUnavailable):
        scene.heart.ensure()


def test_a_node_that_leaves_is_forgotten(scene: Scene) -> None:
    scene.heart.beat()
    mine = scene.claimed("me 1")

    scene.heart.stop()

    assert [job.id for job in scene.driver.job_orphans(None, LEASE)] == [mine.id]


def test_a_node_that_was_silent_for_a_lease_lives_on_under_another_id(scene: Scene) -> None:
    """F2."""
    scene.heart.beat()
    scene.sleep(LEASE - BEAT)
    scene.heart.beat()
    before = scene.heart.nodes

    scene.sleep(LEASE + BEAT)
    scene.heart.ensure()
    scene.heart.stop()

    assert before == ("me 1",)
    assert scene.lapses == [("me 1", "me 2")]


def test_what_nobody_has_taken_from_a_silent_node_stays_its_own(scene: Scene) -> None:
    """F2."""
    scene.heart.beat()
    mine = scene.claimed(scene.heart.node)
    scene.sleep(2 * LEASE)
    silent = scene.orphans()

    scene.heart.beat()
    scene.live(2 * LEASE)
    later = scene.claimed(scene.heart.node)

    assert mine.id in silent
    assert scene.heart.nodes == ("me 1", "me 2")
    assert {mine.id, later.id}.isdisjoint(scene.orphans())


def test_a_former_life_is_let_go_when_nothing_is_left_of_it(scene: Scene) -> None:
    scene.heart.beat()
    mine = scene.claimed("me 1")
    scene.sleep(2 * LEASE)
    scene.heart.beat()
    scene.driver.job_delete(mine.id)

    scene.live(LEASE - BEAT)
    early = scene.heart.nodes
    scene.live(2 * BEAT)

    assert early == ("me 1", "me 2"), "a claim made just before may still arrive"
    assert scene.heart.nodes == ("me 2",)
    assert scene.claimed("me 1").id in scene.orphans()


def test_a_machine_that_slept_lives_on_under_another_id(scene: Scene) -> None:
    """F2, F49: the process's clock stands still while the machine sleeps."""
    scene.heart.beat()

    scene.stored.advance(LEASE + 1)
    scene.heart.beat()

    assert scene.lapses == [("me 1", "me 2")]


def test_an_id_that_cannot_be_announced_is_not_taken(scene: Scene) -> None:
    scene.heart.beat()
    scene.sleep(2 * LEASE)
    calls = iter([None, DriverUnavailable("lost")])
    beat = scene.driver.inner.node_beat

    def flaky(node: str) -> None:
        if (error := next(calls, None)) is not None:
            raise error
        beat(node)

    scene.driver.inner.node_beat = flaky  # type: ignore[method-assign]
    with pytest.raises(DriverUnavailable):
        scene.heart.beat()

    assert scene.heart.nodes == ("me 1",)
    assert scene.lapses == [("me 1",)], "its jobs may be gone all the same"


def test_all_lives_of_a_node_that_leaves_are_forgotten(scene: Scene) -> None:
    scene.heart.beat()
    first = scene.claimed(scene.heart.node)
    scene.sleep(2 * LEASE)
    scene.heart.beat()
    second = scene.claimed(scene.heart.node)

    scene.heart.stop()

    assert {first.id, second.id} <= {*scene.orphans()}
