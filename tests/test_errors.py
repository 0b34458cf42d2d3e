"""The exceptions: their tree, their facts, their messages."""

from __future__ import annotations

import re
from uuid import UUID

import pytest

from gaffer import errors
from gaffer.errors import (
    AlreadyActive,
    AlreadyPaused,
    Conflict,
    DrainTimeout,
    DriverError,
    FlushTimeout,
    GafferError,
    InvalidJob,
    InvalidPayload,
    InvalidQueueConf,
    InvalidTransition,
    JobTimeout,
    MigrationMismatch,
    QueueExists,
    QueueHasJobs,
    UnknownDriver,
    UnknownJob,
    UnknownQueue,
)

ONE, TWO = UUID(int=1), UUID(int=2)


def drawn_tree() -> dict[str, set[str]]:
    """Return each class that the module's docstring draws, with the names of its bases."""
    tree: dict[str, set[str]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([│├└─ ]*)([A-Z]\w+(?: · [A-Z]\w+)*)(?:\((\w+)\))?(?: {2,}|$)", line)
        if match is None:
            continue
        depth = len(match[1]) // 3
        del path[depth:]
        for name in match[2].split(" · "):
            parent = path[-1] if path else "Exception"
            tree[name] = {parent, match[3]} - {None} if match[3] else {parent}
        path.append(match[2].split(" · ")[-1])
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn = drawn_tree()

    real = {
        name: {base.__name__ for base in getattr(errors, name).__bases__} for name in errors.__all__
    }

    assert drawn.pop("BaseException") == {"Exception"}  # a root that is drawn for its branch
    assert drawn == real


def test_the_module_lists_every_exception_that_it_has() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }

    assert defined == set(errors.__all__)


def test_except_exception_does_not_swallow_a_job_timeout() -> None:
    assert not issubclass(JobTimeout, Exception)
    assert not issubclass(JobTimeout, GafferError)


@pytest.mark.parametrize("kind", [InvalidQueueConf, InvalidJob])
def test_an_invalid_option_carries_exactly_the_keys_at_fault(
    kind: type[InvalidQueueConf] | type[InvalidJob],
) -> None:
    """B10, B40."""
    error = kind("unknown: a, b", keys=["b", "a"])

    assert error.keys == {"a", "b"}
    assert str(error) == "unknown: a, b"
    assert kind("nothing to change").keys == frozenset()


def test_an_invalid_payload_says_where_and_what() -> None:
    """F46."""
    error = InvalidPayload("payload.items[3].name", "contains NUL")

    assert (error.path, error.reason) == ("payload.items[3].name", "contains NUL")
    assert str(error) == "payload.items[3].name: contains NUL"


def test_an_unknown_queue_says_how_to_declare_it() -> None:
    """B9, B42."""
    error = UnknownQueue("mail")

    assert error.queue == "mail"
    assert "'mail'" in str(error)
    assert "ensure_queue('mail')" in str(error)


def test_an_unknown_job_names_queue_and_id() -> None:
    """B97, B102, B104, B108."""
    error = UnknownJob("mail", ONE)

    assert (error.queue, error.id) == ("mail", ONE)
    assert "'mail'" in str(error)
    assert str(ONE) in str(error)


@pytest.mark.parametrize("kind", [QueueExists, QueueHasJobs, AlreadyPaused, AlreadyActive])
def test_errors_about_a_queue_name_it(
    kind: type[QueueExists | QueueHasJobs | AlreadyPaused | AlreadyActive],
) -> None:
    """B2, B24, B161."""
    error = kind("mail")

    assert error.queue == "mail"
    assert "'mail'" in str(error)


def test_an_invalid_transition_names_both_states() -> None:
    """B98, B99, B100."""
    error = InvalidTransition(ONE, "completed", "cancelled")

    assert (error.id, error.from_, error.to) == (ONE, "completed", "cancelled")
    assert str(error) == f"job {ONE} is completed and cannot become cancelled"


def test_a_drain_timeout_names_the_jobs_that_are_left() -> None:
    error = DrainTimeout("mail", [ONE, TWO], 5.0)

    assert (error.queue, error.ids, error.timeout) == ("mail", (ONE, TWO), 5.0)
    assert "2 still running after 5.0 s" in str(error)
    assert str(TWO) in str(error)


def test_a_flush_timeout_says_what_is_left_and_whether_the_queue_is_paused() -> None:
    paused = FlushTimeout("mail", 1.5, available=3, executing=2, paused=True)
    active = FlushTimeout("mail", 1.5, available=3, executing=2, paused=False)

    assert (paused.available, paused.executing, paused.paused) == (3, 2, True)
    assert (paused.queue, paused.timeout) == ("mail", 1.5)
    assert "3 available" in str(paused)
    assert "2 executing" in str(paused)
    assert str(paused).endswith("and it is paused")
    assert "paused" not in str(active)


def test_an_unknown_driver_lists_the_installed_ones_in_order() -> None:
    """B22."""
    error = UnknownDriver("redis", ["postgres", "memory"])

    assert (error.name, error.installed) == ("redis", ("memory", "postgres"))
    assert "installed: memory, postgres" in str(error)
    assert "gaffer-driver-redis" in str(error)
    assert "installed: none" in str(UnknownDriver("redis", []))


def test_a_conflict_carries_the_ids_at_fault() -> None:
    error = Conflict(iter([TWO, ONE, ONE]))

    assert error.ids == {ONE, TWO}
    assert f"{ONE}, {TWO}" in str(error)
    assert isinstance(error, DriverError)


def test_a_migration_mismatch_shows_both_checksums() -> None:
    error = MigrationMismatch(3, "abc", "def")

    assert (error.version, error.stored, error.expected) == (3, "abc", "def")
    assert str(error) == "migration 3: storage has checksum abc, this release expects def"
