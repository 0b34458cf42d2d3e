"""The nemeses: each strikes one thing, leaves it so for a while if it lasts, and mends it.

Whatever a nemesis meets because another has struck as well, it takes for what it is; only what it
wants for itself alone it does not share.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress

from gaffer import AlreadyActive, AlreadyPaused, DriverUnavailable
from tests.chaos.queues import LEASE, QUEUES
from tests.chaos.world import ADMIN, SCHEMA, World
from tests.rig.proxy import Proxy
from tests.rig.waiting import until

__all__ = ["NEMESES", "QUICK", "Strike"]

Strike = Callable[[World, random.Random], None]

SERVER = "server"
"""Who has it strikes the server as a whole, or something that must not meet such a strike."""


# -- processes -------------------------------------------------------------------------------------


def kill_worker(world: World, rng: random.Random) -> None:
    """SIGKILL: its jobs are rescued."""
    post = world.fleet.pick(rng)
    with world.alone(post.busy):
        post.worker.process.kill()


def freeze_worker(world: World, rng: random.Random) -> None:
    """SIGSTOP past the lease, and SIGCONT: it wakes to jobs that others have."""
    post = world.fleet.pick(rng)
    with world.alone(post.busy):
        worker = post.worker
        worker.freeze()
        try:
            world.hold(rng, LEASE, 3 * LEASE)
        finally:
            worker.thaw()


def deploy_worker(world: World, rng: random.Random) -> None:
    """SIGTERM: it stops in order, and another takes its place."""
    post = world.fleet.pick(rng)
    with world.alone(post.busy):
        post.terminate()


# -- the server ------------------------------------------------------------------------------------


def end_backends(world: World, rng: random.Random) -> None:
    """End some sessions of gaffer's."""
    with world.admin() as admin:
        found = admin.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND application_name <> %s ORDER BY pid",
            [ADMIN],
        ).fetchall()
        for (pid,) in rng.sample(found, min(len(found), rng.randint(1, 6))):
            admin.execute("SELECT pg_terminate_backend(%s)", [pid])


def restart_fast(world: World, rng: random.Random) -> None:
    """Restart the server in order; sessions are ended."""
    with world.alone(SERVER):
        world.server.restart("fast")


def restart_immediate(world: World, rng: random.Random) -> None:
    """Restart the server without a farewell; it recovers from its log."""
    with world.alone(SERVER):
        world.server.restart("immediate")


def kill_server(world: World, rng: random.Random) -> None:
    """SIGKILL the server's first process."""
    with world.alone(SERVER):
        world.server.kill()
        world.server.start()


def server_away(world: World, rng: random.Random) -> None:
    """Nobody answers for a while."""
    with world.alone(SERVER):
        world.server.stop("fast")
        try:
            world.hold(rng, 0.5, 4.0)
        finally:
            world.server.start()


def freeze_server(world: World, rng: random.Random) -> None:
    """SIGSTOP all of the server: sessions stay open, and nothing comes back."""
    with world.alone(SERVER):
        world.server.freeze()
        try:
            world.hold(rng, 0.5, 4.5)
        finally:
            world.server.thaw()


# By what is sent with them: statements that are prepared go by names that say nothing.
_CLAIM = rb"(?:limited|chained|letters|orders).{,60}\d\dT\d\d:"
_END = rb"completed|failed|available"
_ASKED = (_CLAIM, _END, rb".")


# -- the ways to it --------------------------------------------------------------------------------


def cut(world: World, rng: random.Random) -> None:
    """Reset all connections of one way."""
    proxy = rng.choice(world.proxies)
    with world.alone(f"proxy {id(proxy)}"):
        proxy.cut()


def _silence(world: World, rng: random.Random, act: Callable[[Proxy], None]) -> None:
    proxy = rng.choice(world.proxies)
    with world.alone(f"proxy {id(proxy)}"):
        act(proxy)
        try:
            world.hold(rng, 1.0, 2 * LEASE)
        finally:
            proxy.heal()


def black_hole(world: World, rng: random.Random) -> None:
    """Take everything in and pass nothing on."""
    _silence(world, rng, lambda proxy: proxy.silence())


def deaf(world: World, rng: random.Random) -> None:
    """Pass on what is asked, and no answer: what was asked for is done."""
    _silence(world, rng, lambda proxy: proxy.silence(up=False))


def mute(world: World, rng: random.Random) -> None:
    """Pass on answers, and no question."""
    _silence(world, rng, lambda proxy: proxy.silence(down=False))


def lose_answer(world: World, rng: random.Random) -> None:
    """Lose the answer to the next claim, or the next write, or whatever is asked next."""
    _silence(world, rng, lambda proxy: proxy.lose_answer(request=rng.choice(_ASKED)))


# -- the storage -----------------------------------------------------------------------------------


def _jump(world: World, rng: random.Random, ahead: float) -> None:
    with world.alone("clock"):
        world.set_clock(ahead)
        # Back again when all is over: what was scheduled meanwhile has to come due.
        world.hold(rng, 1.0, 2 * LEASE)


def clock_steps(world: World, rng: random.Random) -> None:
    """Set the storage's clock by less than a lease."""
    _jump(world, rng, rng.uniform(-LEASE, LEASE) * 0.9)


def clock_jumps(world: World, rng: random.Random) -> None:
    """Set the storage's clock by more than a lease, or right."""
    _jump(world, rng, rng.choice([-15.0, -6.0, 0.0, 0.0, 6.0, 15.0]))


def lock_table(world: World, rng: random.Random) -> None:
    """Hold the table of jobs for ourselves, as who alters it does."""
    with world.admin() as admin, admin.transaction():
        admin.execute(f"LOCK TABLE {SCHEMA}.jobs")
        world.hold(rng, 0.5, 4.0)


def read_only(world: World, rng: random.Random) -> None:
    """Take no writes, as a primary that has become a replica."""
    with world.alone(SERVER), world.admin() as admin:
        try:
            admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            admin.execute("SELECT pg_reload_conf()")
            world.hold(rng, 0.5, 3.0)
        finally:
            admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            admin.execute("SELECT pg_reload_conf()")


def disk_full(world: World, rng: random.Random) -> None:
    """Leave no room for jobs."""
    assert world.disk is not None
    with world.alone(SERVER):  # it cannot recover without room
        world.disk.fill()
        try:
            world.hold(rng, 0.5, 3.0)
        finally:
            world.disk.clear()


# -- users -----------------------------------------------------------------------------------------


def pause(world: World, rng: random.Random) -> None:
    """Pause a queue, and resume it."""
    queue = rng.choice(list(QUEUES))
    with world.alone(f"queue {queue}"):
        with suppress(AlreadyPaused):
            world.load.g.pause(queue)
        world.hold(rng, 0.2, 2.0)
        with suppress(AlreadyActive):
            world.load.g.resume(queue)


def cancel(world: World, rng: random.Random) -> None:
    """Cancel jobs."""
    world.load.cancel_some(rng)


def delete(world: World, rng: random.Random) -> None:
    """Delete jobs, whatever they are doing."""
    world.load.delete_some(rng)


NEMESES: Mapping[str, Strike] = {
    strike.__name__: strike
    for strike in (
        kill_worker,
        freeze_worker,
        deploy_worker,
        end_backends,
        restart_fast,
        restart_immediate,
        kill_server,
        server_away,
        freeze_server,
        cut,
        black_hole,
        deaf,
        mute,
        lose_answer,
        clock_steps,
        clock_jumps,
        lock_table,
        read_only,
        disk_full,
        pause,
        cancel,
        delete,
    )
}
QUICK = ("kill_worker", "end_backends", "restart_immediate", "cut", "deaf", "cancel", "delete")
"""Those that fit into seconds."""


def heal(world: World) -> None:
    """Put right whatever the nemeses have left; they have ended."""
    assert world.server.running
    until(world.server.answers, 60.0)
    for proxy in world.proxies:
        proxy.heal()
    if world.disk is not None:
        world.disk.clear()
    world.set_clock(0.0)


def resumed(world: World) -> bool:
    """Resume all queues; return whether storage has taken it."""
    with suppress(DriverUnavailable):
        for queue in QUEUES:
            with suppress(AlreadyActive):
                world.load.g.resume(queue)
        return True
    return False
