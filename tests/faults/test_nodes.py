"""A node is one life of one process: none has the name of another, whatever it is called."""

from __future__ import annotations

import gaffer
from gaffer_driver_memory import MemoryDriver, Storage
from tests.rig.waiting import until


class Beating(MemoryDriver):
    """Notes the nodes that beat, in order."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.beats: list[str] = []

    def node_beat(self, node: str) -> None:
        self.beats.append(node)
        super().node_beat(node)


def live(g: gaffer.Gaffer, driver: Beating) -> str:
    """Let *g* work until it has beaten, stop it, and return its node."""
    before = len(driver.beats)
    g.ensure_queue("q", worker=lambda job: None)
    until(lambda: len(driver.beats) > before)
    g.stop()
    [node] = set(driver.beats[before:])
    return node


def test_a_restart_under_the_same_name_in_the_same_process_is_another_node(
    storage: Storage,
) -> None:
    """F6: or its beats would keep alive what its former life has left behind."""
    driver = Beating(storage)
    first = gaffer.Gaffer(driver, name="web-1")
    nodes = [live(first, driver)]

    first.start()
    nodes += [live(first, driver), live(gaffer.Gaffer(driver, name="web-1"), driver)]

    assert len(set(nodes)) == 3
    assert all(node.startswith("web-1-") for node in nodes)
