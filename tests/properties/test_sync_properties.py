"""Whatever a network does, replicas agree once it lets them, and nothing durable is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sync_network import SETTINGS, Network, Node, line, mesh, record, ring, same, tree

from cellhive.core.records import Record
from cellhive.memory import messages as m
from cellhive.memory.versions import every_record, is_private, sums_of

TOPOLOGIES = {"mesh": mesh, "line": line, "tree": tree, "ring": ring}

KEYS = ["x", "y", "z", "u", "v"]
KINDS = [
    *["write", "burst", "burst", "delete", "private", "commit", "commit"],
    *["deliver", "drop", "repeat", "flow", "noise", "noise", "noise"],
    *["crash", "restart", "cut", "heal", "leave", "tick", "tick", "fail"],
]
ACTIONS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 4), st.integers(0, 400)),
    min_size=1,
    max_size=60,
)
MOST_RECORD_BYTES = 1_500
"""What one record of these tests weighs at most: a window may be exceeded by one push."""


class World:
    """A network, what was done to it, and how often."""

    def __init__(self, size: int, topology: str) -> None:
        """Begin with everybody connected."""
        self.network = Network(size, TOPOLOGIES[topology](size))
        self.names = list(self.network.nodes)
        self.network.settle(2)
        self.writes = self.faults = 0

    def act(self, action: str, who: int, number: int) -> None:
        """Do one thing, if it can be done now."""
        node = self.network.nodes[self.names[who % len(self.names)]]
        key = KEYS[number % len(KEYS)]
        if action in {"deliver", "drop", "repeat"}:
            self.carry(action, number)
        elif action in {"flow", "noise", "heal", "tick", "cut", "leave"}:
            self.change_network(action, number)
        elif action == "restart" and not node.up:
            self.network.restart(node.name)
        elif node.up:
            self.change_node(node, action, key, number)

    def change_node(self, node: Node, action: str, key: str, number: int) -> None:
        """Let a node write, sync its disk, or come to harm."""
        match action:
            case "write":
                self.write(node, record(key, number, text="words " * (number % 50)))
            case "burst":
                for step in range(12):
                    self.write(node, record(f"{key}{step}", number))
            case "delete":
                self.write(node, record(key, deleted=True))
            case "private":
                own = f"{key} of {node.name}"
                self.write(node, record(own, number, metadata={"privacy": "private"}))
            case "commit":
                node.commit(1 + number % 3)
            case "crash":
                self.faults += 1
                self.network.crash(node.name)
            case _:
                self.faults += 1
                node.fail()

    def write(self, node: Node, one: Record) -> None:
        """Write a record."""
        node.write(one)
        self.writes += 1

    def carry(self, action: str, number: int) -> None:
        """Deliver any one message, lose it, or deliver it and keep it for another time."""
        network = self.network
        for _ in range(1 + number % 3):
            if not network.queue:
                return
            index = number // 3 % len(network.queue)
            if action == "drop":
                network.queue.pop(index)
            else:
                network.deliver(index, keep=action == "repeat")
                self.read()
            self.faults += action != "deliver"

    def read(self) -> None:
        """Let every node read what it wants to send."""
        for node in self.network.nodes.values():
            if node.up:
                node.read()

    def noise(self, number: int) -> None:
        """Let up to 60 messages arrive in any order; one in four is lost, one repeated."""
        rng = np.random.default_rng(number)
        network = self.network
        for _ in range(60):
            if not network.queue:
                return
            index = int(rng.integers(min(len(network.queue), 4)))
            fate = rng.integers(4)
            if fate == 0:
                network.queue.pop(index)
                self.faults += 1
            else:
                network.deliver(index, keep=fate == 1)
                self.faults += fate == 1
            self.read()

    def change_network(self, action: str, number: int) -> None:
        """Let messages flow, cut a link (seen by its ends or not), heal, let time pass."""
        network = self.network
        match action:
            case "noise":
                self.noise(number)
            case "flow":
                network.deliver_all(number // 4)
            case "heal":
                self.heal()
            case "tick":
                network.now_s += number / 200
                for node in network.nodes.values():
                    if node.up:
                        node.tell(m.Tick(network.now_s))
            case _:
                self.cut(network.edges[number % len(network.edges)], seen=action == "leave")

    def cut(self, edge: tuple[str, str], *, seen: bool) -> None:
        """Cut a link, so that its ends see it or not."""
        self.faults += 1
        self.network.cut.add(frozenset(edge))
        for one, other in (edge, edge[::-1]):
            if seen and self.network.nodes[one].up:
                self.network.nodes[one].tell(m.Left(other))

    def heal(self) -> None:
        """Let messages through again, and connect what had parted."""
        network = self.network
        for edge in network.cut:
            one, other = sorted(edge)
            if network.nodes[one].up and network.nodes[other].up:
                network.join(one, other)
        network.cut.clear()

    def settle(self) -> None:
        """Heal, and let everything come to rest."""
        self.heal()
        self.network.settle(16)

    def check(self) -> None:
        """Assert that all agree, that nothing durable is lost, and nothing private was told."""
        nodes = list(self.network.nodes.values())
        first = nodes[0]
        content = first.content()
        for node in nodes:
            assert node.log.seen() == first.log.seen() == node.replica.vector
            assert node.replica.durable == node.replica.vector
            assert node.content().keys() == content.keys()
            assert all(same(one, content[key]) for key, one in node.content().items())
            assert sums_of(node.log) == sums_of(first.log)
            for one in every_record(node.log):
                assert not is_private(one) or one.version.writer.split("~")[0] == node.name
            held = {one.key: one.version for one in every_record(node.log)}
            for one in node.acknowledged:
                assert held[one.key] >= one.version
                assert is_private(one) or content[one.key].version >= one.version
            assert node.widest_bytes <= SETTINGS.window_bytes + MOST_RECORD_BYTES


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@example(  # what a dead writer left takes more parts than one answer may have
    size=2, topology="line",
    actions=[("write", 0, 0), ("deliver", 0, 0), ("burst", 0, 0), ("noise", 0, 0), ("fail", 0, 0)],
)  # fmt: skip
@example(  # a peer whose disk has failed has less than it said before
    size=4, topology="tree",
    actions=[
        ("fail", 3, 0), ("burst", 0, 18), ("noise", 0, 15), ("noise", 0, 15), ("noise", 3, 389),
        ("drop", 2, 228), ("deliver", 1, 35), ("restart", 4, 218), ("noise", 3, 389),
        ("tick", 4, 168), ("fail", 2, 9), ("noise", 3, 15),
    ],
)  # fmt: skip
@example(  # a gap closes while an answer reads on behind it
    size=3, topology="ring",
    actions=[
        ("flow", 0, 229), ("noise", 2, 111), ("restart", 4, 394), ("restart", 4, 141),
        ("delete", 1, 201), ("write", 4, 225), ("burst", 3, 348), ("drop", 2, 191),
        ("noise", 0, 29), ("noise", 2, 345), ("deliver", 4, 117), ("burst", 0, 98),
        ("burst", 2, 330), ("noise", 2, 214), ("noise", 0, 100), ("noise", 1, 104),
        ("restart", 3, 97), ("crash", 0, 160),
    ],
)  # fmt: skip
@given(size=st.integers(2, 5), topology=st.sampled_from(sorted(TOPOLOGIES)), actions=ACTIONS)
def test_replicas_agree_whatever_happens(
    size: int, topology: str, actions: list[tuple[str, int, int]]
) -> None:
    """Loss, delay, repetition, disorder, partitions, crashes, full disks: in the end all agree."""
    world = World(size, topology)
    for action in actions:
        world.act(*action)
    world.settle()
    world.check()
    ways = 2 * len(world.network.edges)
    assert world.network.sent_records <= max(1, world.writes) * ways * (2 + world.faults)
    sent = dict(world.network.sent)
    for _ in range(6):
        world.network.round()
    assert {name: world.network.sent[name] - n for name, n in sent.items()
            if name in {"Push", "Batch", "Ask"}} == {
        name: 0 for name in sent if name in {"Push", "Batch", "Ask"}
    }  # fmt: skip
