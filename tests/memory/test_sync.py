"""Replication, flow by flow, with the messages that it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from sync_network import SETTINGS, SPACE, START_MS, Network, line, mesh, record, tree

from cellhive.core.records import Delta, Metric, Namespace, Record, RecordKind, Version
from cellhive.memory import messages as m
from cellhive.memory.batches.columns import FEWEST
from cellhive.memory.codec import decode, encode
from cellhive.memory.sync import Replica
from cellhive.memory.versions import every_record, is_private


def tell(one: Replica, event: m.Event) -> list[Any]:
    """Tell a replica something; return what it says, to be looked into freely."""
    return list(one.handle(event))


def names(instructions: list[Any]) -> list[str]:
    """Return what is to be done, in short: "Push>b" or the instruction's name."""
    return [
        f"{type(one.message).__name__}>{one.peer}" if isinstance(one, m.Send) else
        type(one).__name__ for one in instructions
    ]  # fmt: skip


def stamped(name: str, writer: str, sequence: int) -> Record:
    """Make a record as a log has stamped it."""
    version = Version((START_MS << 16) + sequence, writer, sequence)
    return structs.replace(record(name, sequence), version=version)


def hello(peer: str, vector: dict[str, int], **changes: object) -> m.Hello:
    """Make the answer of a peer that has what is given."""
    fields: dict[str, object] = {
        "protocol": m.PROTOCOL, "node": peer, "session": f"{peer}~1", "answer": True,
        "time_ms": START_MS,
        "namespaces": (SPACE,), "vector": vector, "undurable": {}, "neighbours": (),
        "beyond": (), "synced": 0,
    }  # fmt: skip
    return m.Hello(**{**fields, **changes})  # type: ignore[arg-type]


def replica(seen: dict[str, int] | None = None, *peers: str) -> Replica:
    """Return replica a, connected to peers that have nothing."""
    one = Replica("a", "a~1", seen or {}, {SPACE.name: SPACE}, lambda: START_MS, SETTINGS)
    for peer in peers:
        tell(one, m.Joined(peer))
        tell(one, m.Received(peer, hello(peer, {})))
    return one


def test_a_write_is_pushed_acknowledged_and_acknowledged_again_when_durable() -> None:
    """Write → Push → Apply and Ack (received) → Stored → Ack (durable): two steps."""
    one, two = replica(None, "b"), Replica("b", "b~1", {}, {SPACE.name: SPACE}, lambda: START_MS)
    tell(two, m.Joined("a"))
    tell(two, m.Received("a", hello("a", {})))
    written = stamped("x", "a~1", 1)
    (push,) = tell(one, m.Wrote((written,)))
    assert push == m.Send("b", m.Push(1, (written,), ()), push.weight_bytes)
    assert push.weight_bytes > 0
    apply, received = tell(two, m.Received("a", push.message))
    assert apply == m.Apply(Delta((written,), {"a~1": 1}, complete=True), "a")
    assert received == m.Send("a", m.Ack(1, {"a~1": 1}, {}))
    (durable,) = tell(two, m.Stored({"a~1": 1}))
    assert durable == m.Send("a", m.Ack(1, {}, {"a~1": 1}))
    told = [*tell(one, m.Received("b", received.message)),
            *tell(one, m.Received("b", durable.message))]  # fmt: skip
    assert told == [m.Acknowledged("b", {"a~1": 1}, {}), m.Acknowledged("b", {}, {"a~1": 1})]
    assert one.window_bytes("b") == 0


def test_a_gap_is_applied_over_asked_for_and_closed() -> None:
    """The record behind a gap is searchable at once; the vector waits for what is missing."""
    one = replica(None, "b")
    out = tell(one, m.Received("b", m.Push(2, (stamped("y", "b~1", 2),))))
    assert names(out) == ["Apply", "Ack>b", "Ask>b"]
    assert out[0] == m.Apply(Delta(out[0].delta.records, {}, complete=True), "b")
    assert dict(one.vector) == {}
    assert out[2].message == m.Ask("a~1", 1, {}, SETTINGS.batches_ahead, (m.Run("b~1", 2, 2),))
    batch = m.Batch("a~1", 1, 1, (stamped("x", "b~1", 1),), {"b~1": 1}, complete=True)
    (closed,) = tell(one, m.Received("b", batch))
    assert closed.delta.covers == {"b~1": 2}
    assert dict(one.vector) == {"b~1": 2}


def test_one_push_is_taken_in_alike_on_the_short_way_and_on_the_long_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over pushes in any order, again, ahead, misshapen and of nobody: the same is to be done."""
    rng = np.random.default_rng(4)
    odd = Namespace("odd", dimension=SPACE.dimension)
    for _ in range(40):
        pushes = []
        for number in range(1, 25):
            writer = str(rng.choice(["b~1", "c~1", "a~1", ""], p=[0.6, 0.3, 0.05, 0.05]))
            new = stamped(f"r{number}", writer, int(rng.integers(1, 9)))
            if rng.random() < 0.1:
                ahead = Version((START_MS + 100_000) << 16, "b~1", new.version.sequence)
                new = [
                    structs.replace(new, vector=np.ones(99, np.float32)),
                    structs.replace(new, namespace=odd.name),
                    structs.replace(new, version=ahead),
                ][rng.integers(3)]
            pushes.append(m.Received(str(rng.choice(["b", "c"])), m.Push(number, (new,))))
        short, long = replica(None, "b", "c", "d"), replica(None, "b", "c", "d")
        taken_alike(short, long, pushes, monkeypatch)


def taken_alike(
    short: Replica, long: Replica, pushes: list[m.Received], monkeypatch: pytest.MonkeyPatch
) -> int:
    """Check that two replicas do the same, one of them the long way; count what was admitted."""
    admitted = 0
    for push in pushes:
        message = push.message
        assert isinstance(message, m.Push)
        sure = short.admits(push.peer, message)
        admitted += sure
        found = tell(short, push)
        if sure:  # a node has made it searchable already
            (applied,) = [x for x in found if isinstance(x, m.Apply)]
            assert applied.delta.records is message.records
        with monkeypatch.context() as patched:
            patched.setattr(Replica, "_on_next", lambda *_: False)
            assert found == tell(long, push)
    assert short.vector == long.vector
    return admitted


ODD, ANGLES = Namespace("odd", SPACE.dimension), Namespace("angles", SPACE.dimension)


def misshapen(new: list[Record], case: int) -> list[Record]:
    """Return consecutive writes that are, in some of all cases, not what they should be."""
    last, zeros = new[-1], np.zeros(SPACE.dimension, np.float32)
    ahead = structs.replace(last.version, time_hlc=(START_MS + 100_000) << 16)
    turned = [structs.replace(x, namespace=ANGLES.name) for x in new]
    cases = [
        [structs.replace(x, vector=np.ones(9, np.float32)) for x in new],
        [*new[:-1], structs.replace(last, vector=zeros)],
        [*new[:-1], structs.replace(last, version=ahead)],
        [structs.replace(x, namespace=ODD.name) for x in new],
        [structs.replace(turned[0], vector=zeros), *turned[1:]],
        turned,
        [*new[:2], *new[3:]],
        [*reversed(new)],
    ]
    return cases[case] if case < len(cases) else new


def test_a_run_of_records_is_taken_in_alike_on_the_short_way_and_on_the_long_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Columns as they come from the wire: next, again, over gaps, and misshapen as a whole."""
    rng, admitted = np.random.default_rng(5), 0
    for _ in range(80):
        pushes, next_of = [], {"b~1": 1, "c~1": 1, "a~1": 1, "": 1}
        for number in range(1, 25):
            writer = str(rng.choice([*next_of], p=[0.6, 0.36, 0.02, 0.02]))
            step = int(rng.choice([0, 0, 0, -3, 2]))
            first = max(1, next_of[writer] + step)
            behind = first + int(rng.integers(FEWEST + 1, 9))
            new = [stamped(f"r{i}", writer, i) for i in range(first, behind)]
            next_of[writer] = behind if step < 2 else next_of[writer]  # the gap closes, overlapping
            push = decode(encode(m.Push(number, tuple(misshapen(new, int(rng.integers(60)))))))
            pushes.append(m.Received(str(rng.choice(["b", "c"])), push))
        short, long = replica(None, "b", "c", "d"), replica(None, "b", "c", "d")
        for one in (short, long):
            for namespace in (ODD, ANGLES):
                tell(one, m.Declared(namespace))
            tell(one, m.Received("b", m.Refusal(ODD.name, "of other components")))
        admitted += taken_alike(short, long, pushes, monkeypatch)
    assert admitted > 100


def test_a_push_is_passed_on_once_and_not_to_neighbours_of_its_sender() -> None:
    """b pushes to a: c, whom b does not know, gets it from a; d, b's neighbour, does not."""
    one = replica(None, "b", "c", "d")
    tell(one, m.Received("b", hello("b", {}, neighbours=("a", "d"))))
    push = m.Push(1, (stamped("x", "b~1", 1),))
    assert names(tell(one, m.Received("b", push))) == ["Apply", "Push>c", "Ack>b"]
    assert names(tell(one, m.Received("b", push))) == ["Ack>b"]
    assert names(tell(one, m.Received("d", push))) == ["Ack>d"]
    assert names(tell(one, m.Received("c", push))) == ["Ack>c"]


def test_one_peer_is_asked_at_a_time_and_a_transfer_goes_on_where_it_broke() -> None:
    """After a break the question carries what was covered, and goes to who is left."""
    one = replica()
    for peer in ("b", "c"):
        tell(one, m.Joined(peer))
    asked = [i for peer in ("b", "c") for i in tell(one, m.Received(peer, hello(peer, {"b~1": 9})))
             if isinstance(i, m.Send) and isinstance(i.message, m.Ask)]  # fmt: skip
    assert asked == [m.Send("b", m.Ask("a~1", 1, {}, 2))]
    some = tuple(stamped(f"x{n}", "b~1", n) for n in (1, 2, 3, 4))
    tell(one, m.Received("b", m.Batch("a~1", 1, 1, some, {"b~1": 4}, complete=False)))
    out = tell(one, m.Left("b"))
    assert m.Send("c", m.Ask("a~1", 2, {"b~1": 4}, 2)) in out


@pytest.mark.parametrize(
    ("session", "number", "part"), [("a~0", 1, 1), ("a~1", 7, 1), ("a~1", 1, 2)]
)
def test_a_delta_counts_only_for_its_question(session: str, number: int, part: int) -> None:
    """Of another life, another question, or out of turn: records are used, cover is not."""
    one = replica()
    tell(one, m.Joined("b"))
    tell(one, m.Received("b", hello("b", {"b~1": 9})))
    late = m.Batch(session, number, part, (stamped("x", "b~1", 3),), {"b~1": 9}, complete=True)
    apply = tell(one, m.Received("b", late))[0]
    assert isinstance(apply, m.Apply)
    assert apply.delta.covers == {}
    assert dict(one.vector) == {}


def test_a_full_window_stops_pushes_and_a_delta_makes_up_for_them() -> None:
    """What waits for a slow peer is bounded; what was held back reaches it in the end."""
    network = Network(2, line(2))
    network.settle(2)
    one = network.nodes["a"]
    for number in range(60):
        one.write(record(f"x{number}", number))
    held = len(network.queue)
    assert held < 20
    assert one.widest_bytes <= SETTINGS.window_bytes
    network.settle(10)
    assert network.nodes["b"].content().keys() == one.content().keys()
    assert len(one.content()) == 60


def test_lost_writes_of_a_former_life_come_back_from_peers() -> None:
    """A write is pushed, its writer dies before its disk has it: the next life learns it."""
    network = Network(3, tree(3))
    network.settle(2)
    (lost,) = network.nodes["a"].write(record("x"))
    network.deliver_all()
    network.crash("a")
    assert network.nodes["a"].content() == {}
    network.settle(6)
    node = network.nodes["a"]
    assert node.writer == "a~2"
    assert node.content()[lost.key].version == lost.version
    node.write(record("y"))
    network.settle(2)
    assert len(network.nodes["c"].content()) == 2


def test_replication_in_a_mesh_sends_each_record_once_to_each() -> None:
    """No storms: N - 1 transmissions per write among N; on a tree as many."""
    for ways in (mesh, line, tree):
        network = Network(5, ways(5))
        network.settle(4)
        for number in range(10):
            network.nodes["abcde"[number % 5]].write(record(f"x{number}"))
            network.deliver_all()
        network.settle(10)
        assert network.sent_records == 10 * 4
        assert "Ask" not in network.sent


def test_private_records_stay_and_vectors_agree_all_the_same() -> None:
    """Neither label nor private namespace leaves; a record made private later is withdrawn."""
    settings = replace(SETTINGS, private_namespaces=frozenset({"secret"}))
    network = Network(3, line(3), settings)
    one = network.nodes["a"]
    secret = Namespace("secret", 2, Metric.L2)
    one.log.declare(secret)
    one.tell(m.Declared(secret))
    network.settle(2)
    one.write(record("x"))
    network.settle(2)
    one.write(structs.replace(record("s"), namespace="secret"))
    one.write(record("x", metadata={"privacy": "private"}))
    one.write(record("y", metadata={"privacy": "private"}))
    one.write(record("z"))
    network.settle(80)
    for name in "bc":
        node = network.nodes[name]
        assert node.log.seen() == one.log.seen()
        assert set(node.log.namespaces()) == {SPACE.name}
        assert {r.id: r.deleted for r in every_record(node.log)} == {"x": True, "z": False}
        assert not any(is_private(r) for r in every_record(node.log))
    assert [r.id for r in one.log.scan(SPACE.name, limit=9)[1]] == ["x", "y", "z"]
    sent = network.sent_records
    network.settle(200)
    assert network.sent_records == sent


def test_a_restored_backup_is_mended_though_vectors_agree() -> None:
    """A log that believes to have what it lacks is found by its content and repaired."""
    network = Network(3, line(3))
    network.settle(2)
    for number in range(12):
        network.nodes["a"].write(record(f"x{number}", number))
    network.nodes["a"].write(record("x3", deleted=True))
    network.settle(4)
    damaged = network.nodes["b"]
    shelf = damaged.log._shelves[SPACE.name]  # what no port allows: damage
    for row in (1, 2, 7):
        shelf.records[row] = structs.replace(shelf.records[row], version=Version(1, "a~1", row),
                                     vector=np.zeros(2, np.float32))  # fmt: skip
    shelf.records[3] = structs.replace(
        shelf.records[3], deleted=False, version=Version(1, "a~1", 4)
    )
    network.settle(200)
    contents = [node.content() for node in network.nodes.values()]
    assert [{k: r.version for k, r in c.items()} for c in contents[1:]] == [
        {k: r.version for k, r in contents[0].items()}
    ] * 2
    sent = network.sent_records
    network.settle(200)
    assert network.sent_records == sent


def test_a_writer_whose_name_was_used_before_is_told_to_renew() -> None:
    """Peers know more of our writer than we wrote: the log must be opened under a new name."""
    one = replica()
    tell(one, m.Joined("b"))
    assert m.Renew("a~1", 5) in tell(one, m.Received("b", hello("b", {"a~1": 5})))
    assert dict(one.vector) == {}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"protocol": m.PROTOCOL + 1}, "same version"),
        ({"protocol": m.PROTOCOL - 1}, "same version"),
        ({"node": "c"}, "name"),
        ({"time_ms": START_MS + 60_001}, "clock"),
    ],
)
def test_a_peer_that_cannot_be_is_refused(changes: dict[str, object], word: str) -> None:
    """Wrong protocol, another name than its certificate's, a clock too far ahead."""
    one = replica()
    tell(one, m.Joined("b"))
    said, refused = tell(one, m.Received("b", hello("b", {"b~1": 1}, **changes)))
    assert word in refused.why
    assert said.message == m.Refusal("", refused.why)
    assert tell(one, m.Received("b", hello("b", {}))) == []
    assert tell(one, m.Wrote((stamped("x", "a~1", 1),))) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"version": Version((START_MS + 60_002) << 16, "b~1", 1)}, "clock"),
        ({"version": Version(1, "b~1", 0)}, "versions"),
        ({"vector": np.ones(3, np.float32)}, "2 components"),
    ],
)
def test_a_record_that_cannot_be_closes_the_link(changes: dict[str, object], word: str) -> None:
    """A time far ahead, no version, the wrong dimension: nothing is taken in."""
    one = replica(None, "b")
    bad = structs.replace(stamped("x", "b~1", 1), **changes)  # type: ignore[arg-type]
    out = tell(one, m.Received("b", m.Push(1, (bad,))))
    assert names(out) == ["Refusal>b", "Refuse"]
    assert word in out[1].why
    assert dict(one.vector) == {}


def test_a_namespace_that_does_not_match_is_refused_alone() -> None:
    """Another dimension under the same name: that namespace is left out, others go on."""
    network = Network(2, line(2))
    for node, dimension in zip(network.nodes.values(), (3, 4), strict=True):
        odd = Namespace("odd", dimension, Metric.L2)
        node.log.declare(odd)
        node.tell(m.Declared(odd))
    network.settle(3)
    one, two = network.nodes.values()
    vector = np.ones(3, np.float32)
    one.write(Record("odd", "o", RecordKind.RESULT, vector), record("x"))
    network.settle(6)
    assert {r.id for r in every_record(two.log)} == {"x"}
    assert two.log.seen() == one.log.seen()
    refusals = [t for t in two.told if isinstance(t, m.Refuse)]
    assert {r.namespace for r in refusals} == {"odd"}
    assert "expected namespace odd with 4 components" in refusals[0].why


def test_deletions_may_be_forgotten_once_every_member_has_them() -> None:
    """Not while a member has never been heard, and never beyond what all have on disk."""
    settings = replace(SETTINGS, members=frozenset("abc"), tombstone_age_ms=1000)
    one = Replica("a", "a~1", {"a~1": 9, "b~1": 4}, {}, lambda: START_MS, settings)
    assert one.forgettable() is None
    tell(one, m.Joined("b"))
    tell(one, m.Received("b", hello("b", {"a~1": 7, "b~1": 6}, undurable={"a~1": 5})))
    assert one.forgettable() is None
    tell(one, m.Joined("c"))
    tell(one, m.Received("c", hello("c", {"a~1": 8, "b~1": 3})))
    assert one.forgettable() == ({"a~1": 5, "b~1": 3}, (START_MS - 1000) << 16)
    tell(one, m.Left("c"))
    assert one.forgettable() is not None
    assert Replica("a", "a~1", {}, {}, lambda: START_MS).forgettable() is None


def test_large_records_are_sent_in_smaller_batches() -> None:
    """A delta that is too large is read again in smaller parts; nothing is left out."""
    network = Network(2, line(2))
    network.settle(2)
    network.cut.add(frozenset("ab"))
    for number in range(9):
        network.nodes["a"].write(record(f"x{number}", text="long " * 500))
    network.round()
    network.settle(30)
    assert len(network.nodes["b"].content()) == 9


def test_writes_beyond_a_gap_that_nobody_can_fill_are_found() -> None:
    """A writer dies, its first writes with it; what peers have of the later ones is shared.

    Found by the random network: more of them than one batch holds, and vectors that agree.
    """
    network = Network(3, line(3))
    network.settle(2)
    network.cut.add(frozenset("bc"))
    for number in range(12):
        network.nodes["a"].write(record(f"x{number}", number))
    pushes = [sent for sent in network.queue if sent[1] == "b"]
    network.queue = pushes[1:]
    network.deliver_all()
    network.crash("a")
    network.settle(20)
    kept = {f"x{1 + number}" for number in range(len(pushes) - 1)}
    assert len(kept) > SETTINGS.batch_records
    for node in network.nodes.values():
        assert {r.id for r in every_record(node.log)} == kept
        assert node.log.seen().get("a~1", 0) == 0
