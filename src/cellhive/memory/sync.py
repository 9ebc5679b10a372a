"""Replication of a memory as a state machine: told events, it says what is to be done.

Every replica holds everything. A node's writes are pushed to its peers as they happen and
passed on by those who have peers that the sender has not. Whatever pushing misses — a peer
that was away, a full window, a gap — is found by comparing version vectors and fetched:
Digest, Ask, Batch. What even vectors miss, such as a log restored from a backup, is found
by comparing sums over the content when all is quiet, and mended bucket by bucket.

Conflicts: of two writes of one record the higher ``Version`` stays, by time, then writer,
then sequence; a deletion is a write like any other. All replicas choose alike, so order
of arrival does not matter.

What is counted when: a record is applied at once, even across a gap, but a writer's number
in the vector only rises when all before it is known. A delta counts only for the question
that it answers. Clocks: records or peers more than ``most_ahead_ms`` ahead of our clock are
refused, not clamped: a version cannot be changed without becoming another write.

Privacy: what ``is_private`` says stays here; peers are told its number only. Where a peer
itself names a record that has since become private here, it is given a tombstone.

Not here: sockets, disks, clocks (``adapters/``). docs/memory-sync.md draws the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cellhive.core.records import Delta, Namespace, Record
from cellhive.memory import messages as m
from cellhive.memory import peers as p
from cellhive.memory.batches.faults import weight_bytes
from cellhive.memory.compare import Comparison
from cellhive.memory.peers import Answer, Held, Link, Question, SyncSettings
from cellhive.memory.versions import COUNTER_BITS, KnownWrites, common, is_private, merge, missing


class Replica:
    """One node's side of replication with all its peers. For one thread."""

    def __init__(
        self,
        node: str,
        writer: str,
        seen: Mapping[str, int],
        namespaces: Mapping[str, Namespace],
        now_ms: Callable[[], int],
        settings: SyncSettings = SyncSettings(),  # noqa: B008  # frozen
    ) -> None:
        """Begin with what the log holds.

        Where ``log.since(seen)`` of the log itself gives records, numbers before them are
        missing: tell of them as Wrote before anybody joins.

        Args:
            node: Name of this node, as in its certificate.
            writer: The log's writer: names this life of the node.
            seen: The log's version vector.
            namespaces: What the log has declared.
            now_ms: Wall clock [ms since the epoch].
            settings: Times and bounds.
        """
        self.node, self.writer, self.settings = node, writer, settings
        self._now_ms = now_ms
        self._now_s = 0.0
        self._held = Held(
            node, writer, KnownWrites(dict(seen), settings.most_runs), dict(seen),
            dict(namespaces), settings.private_namespaces,
        )  # fmt: skip
        self._links: dict[str, Link] = {}
        self._members: dict[str, dict[str, int]] = {}
        self._source: dict[str, str] = {}
        self._question: Question | None = None
        self._number = 0
        self._comparison = Comparison(node, settings)
        self._digest_at_s = 0.0
        self._out: list[m.Instruction] = []

    @property
    def vector(self) -> Mapping[str, int]:
        """What can be searched here: writer to number."""
        return self._held.known.upto

    @property
    def durable(self) -> Mapping[str, int]:
        """What is on disk here."""
        return self._held.durable

    @property
    def peers(self) -> Mapping[str, Mapping[str, int]]:
        """What each connected peer can search, as far as it told."""
        return {peer: link.vector for peer, link in self._links.items() if link.open}

    def window_bytes(self, peer: str) -> int:
        """Return how much has been pushed to a peer and not taken in by it [bytes]."""
        return self._links[peer].window_bytes if peer in self._links else 0

    def forgettable(self) -> tuple[Mapping[str, int], int] | None:
        """Return which deletions may be forgotten, or None while that cannot be said.

        Returns:
            A vector and a hybrid time: a tombstone may go when its sequence is covered by
            the vector, which every member has on disk, and its time lies before.
        """
        others = sorted(self.settings.members - {self.node})
        if not others or not set(others) <= set(self._members):
            return None
        vector = common([self._held.durable, *map(self._members.__getitem__, others)])
        return vector, max(0, self._now_ms() - self.settings.tombstone_age_ms) << COUNTER_BITS

    def admits(self, peer: str, push: m.Push) -> bool:
        """Whether what a push brings may be searched before it is handled; False is no proof."""
        link, latest_ms = self._links.get(peer), self._now_ms() + self.settings.most_ahead_ms
        fits = link is not None and link.open and self._held.next_of(push.records, link, latest_ms)
        return bool(fits)

    def handle(self, event: m.Event) -> list[m.Instruction]:
        """Take an event in and return what the adapter must do, in this order."""
        self._out = []
        match event:
            case m.Received(peer, message):
                self._receive(peer, message)
            case m.Wrote():
                self._wrote(event)
            case m.Stored(covers):
                self._stored(covers)
            case m.DeltaRead(peer, delta):
                self._delta_read(peer, delta)
            case m.Tick(now_s):
                self._tick(now_s)
            case _:
                self._handle_rare(event)
        return self._out

    def _handle_rare(self, event: m.Event) -> None:
        """Take in what happens when connections and namespaces come and go."""
        match event:
            case m.Joined(peer):
                self._drop(peer)
                self._links[peer] = Link(limit=self.settings.batch_records)
                self._say(peer, self._hello(answer=False))
            case m.Left(peer):
                self._drop(peer)
                self._tell_all()
                self._ask_next()
            case m.StoreFailed(seen):
                self._begin_again(seen)
            case m.Declared(namespace):
                self._held.namespaces[namespace.name] = namespace
                self._tell_all()
            case m.Summarised():
                self._comparison.look(event)
                self._tell_all()
            case m.ListingRead(peer):
                self._out += self._comparison.on_read(event)
                self._mend_next(peer)
            case m.RecordsRead(peer, records):
                self._mend(peer, records)
            case _:
                pass

    # What comes from this node.

    def _wrote(self, event: m.Wrote) -> None:
        """Count own writes and push them."""
        if self._held.learn_own(event):
            self._push_one(event.records[0], "", frozenset(), event.weight_bytes)
            return
        self._held.learn(event.records, (), event.covers)
        public, withheld = self._held.shown(event.records, checked=event.checked)
        self._push(public, withheld, source="", weight=event.weight_bytes)

    def _stored(self, covers: Mapping[str, int]) -> None:
        """Count what is on disk, tell those it came from, and answer who waited for it."""
        self._held.synced += 1
        self._held.durable = merge(self._held.durable, covers)
        told: dict[str, dict[str, int]] = {}
        for writer, sequence in covers.items():
            told.setdefault(self._source.get(writer, ""), {})[writer] = sequence
        for peer, durable in told.items():
            link = self._links.get(peer)
            if link is not None and link.open:
                self._say(peer, m.Ack(link.taken, {}, durable))
        for peer, link in self._links.items():
            self._serve(peer, link)

    def _begin_again(self, seen: Mapping[str, int]) -> None:
        """Go back to what the log has, and say so to everybody."""
        self._held.known = KnownWrites(dict(seen), self.settings.most_runs)
        self._held.durable = dict(seen)
        self._question = None
        for peer in self._links:
            self._say(peer, self._hello(answer=False))

    def _push(
        self, records: Sequence[Record], withheld: Sequence[m.Run], *, source: str, weight: int = 0
    ) -> None:
        """Push writes to those who may lack them: not to the source, nor to its neighbours."""
        served = self._links[source].neighbours if source else frozenset()
        if len(records) == 1 and not withheld:
            self._push_one(records[0], source, served, weight)
            return
        bounds = {"most_bytes": self.settings.batch_bytes, "most_records": m.MOST_RECORDS}
        for peer, link in self._links.items():
            if not link.session or link.closed or peer == source or peer in served:
                continue
            lacking = link.lacking(records)
            unseen = link.unseen(withheld) if withheld else ()
            known = weight if len(lacking) == len(records) and not withheld else 0
            for part, size in p.parts(lacking, weight=known, **bounds):
                self._push_to(peer, link, part, unseen, size)
                unseen = ()
            if unseen:
                self._push_to(peer, link, (), unseen, 0)

    def _push_one(self, record: Record, source: str, served: frozenset[str], weight: int) -> None:
        """Push one write: the usual case, on the way to a search."""
        records, size = (record,), weight or weight_bytes(record)
        writer, number = record.version.writer, record.version.sequence
        for peer, link in self._links.items():
            if (
                link.session and not link.closed and peer != source and peer not in served
                and number > link.vector.get(writer, 0) and record.namespace not in link.refused
            ):  # fmt: skip
                self._push_to(peer, link, records, (), size)

    def _push_to(
        self, peer: str, link: Link, records: tuple[Record, ...], unseen: tuple[m.Run, ...],
        size: int,
    ) -> None:  # fmt: skip
        """Push to one peer, unless its window is full: then it is told when it has room."""
        size += 100 * (1 + len(unseen))
        if number := link.reserve(size, self.settings.window_bytes):
            self._out.append(m.Send(peer, m.Push(number, records, unseen), size))

    # What comes from peers.

    def _receive(self, peer: str, message: m.Message) -> None:
        """Take in a message of a peer that is connected and not refused."""
        link = self._links.get(peer)
        if link is None or link.closed:
            return
        match message:
            case m.Push() if link.session:
                self._on_push(peer, link, message)
            case m.Hello():
                self._greeted(peer, link, message)
            case m.Refusal():
                self._refused_by(peer, link, message)
            case m.Ack(number, received, durable) if link.open:
                self._heard(peer, link, received, durable)
                self._taken(peer, link, number)
            case _:
                if link.open:
                    self._receive_rare(peer, link, message)

    def _receive_rare(self, peer: str, link: Link, message: m.Message) -> None:
        """Take in what keeps replicas equal when pushing does not."""
        match message:
            case m.Batch():
                self._on_batch(peer, link, message)
            case m.Ask():
                self._heard(peer, link, message.known, {})
                link.waiting = message
                self._serve(peer, link)
            case m.Digest():
                self._on_digest(peer, link, message)
            case m.Summary():
                self._out += self._comparison.on_summary(peer, message)
            case m.Listing():
                self._out += self._comparison.on_listing(peer, message)
            case _:
                pass

    def _greeted(self, peer: str, link: Link, hello: m.Hello) -> None:
        """Begin with a peer, or begin again with one that lost its memory."""
        why = p.unfit(hello, peer, self.node)
        if why:
            self._refuse(peer, link, why)
            return
        if hello.session != link.session:
            link.restart()
        link.session, link.vector, link.durable = hello.session, {}, {}
        if not hello.answer:
            self._say(peer, self._hello(answer=True))
        if self._met(peer, link, hello):
            self._tell_all(but=peer)
            self._ask_next()

    def _on_digest(self, peer: str, link: Link, digest: m.Digest) -> None:
        """Compare a peer with this replica, and ask for what is missing."""
        if not self._met(peer, link, digest):
            return
        link.taken = max(link.taken, digest.pushed)
        self._taken(peer, link, digest.taken)
        link.totals, link.totals_print = digest.totals, digest.totals_print
        self._ask_next()
        self._out += self._comparison.with_peer(peer, link, self.vector)

    def _met(self, peer: str, link: Link, told: m.Hello | m.Digest) -> bool:
        """Take in what Hello and Digest both tell; return whether the peer may stay."""
        if (ahead := told.time_ms - self._now_ms()) > self.settings.most_ahead_ms:
            self._refuse(peer, link, p.ahead_words(ahead, self.settings, self.node))
            return False
        self._heard(peer, link, told.vector, {**told.vector, **told.undurable})
        link.vector = dict(told.vector)  # a peer whose disk has failed has less than it had
        link.neighbours = frozenset(told.neighbours)
        for namespace in told.namespaces:
            self._meet_namespace(peer, link, namespace)
        self._renew_if_used(told.vector.get(self.writer, 0))
        link.beyond = (told.beyond, told.synced)
        link.owes = self._held.lacks(link)
        return not link.closed

    def _meet_namespace(self, peer: str, link: Link, namespace: Namespace) -> None:
        """Declare what is new, refuse what does not match."""
        ours, known = self._held.namespaces.get(namespace.name), self._held.namespaces
        if ours is None and len(known) >= m.MOST_NAMESPACES:
            self._refuse(peer, link, f"expected at most {m.MOST_NAMESPACES} namespaces")
        elif not ours:
            known[namespace.name] = namespace
            self._out.append(m.Declare(namespace, peer))
        elif namespace.name not in link.refused and (why := p.mismatch(ours, namespace)):
            link.refused.add(ours.name)
            self._say(peer, m.Refusal(ours.name, why))
            self._out.append(m.Refuse(peer, ours.name, why))

    def _on_push(self, peer: str, link: Link, push: m.Push) -> None:
        """Apply what is new of a push, pass it on, acknowledge it, and notice gaps."""
        if not push.withheld and self._on_next(peer, link, push):
            return
        admitted, _ = self._admit(peer, link, push.records)
        if link.closed:
            return
        link.taken = max(link.taken, push.number)
        runs, known = self._held.known.runs, self._held.known
        new = [r for r in admitted if not known.has(r.version.writer, r.version.sequence)]
        taken = push.records if len(new) == len(push.records) else tuple(new)
        holes = self._held.holes(push.withheld) if push.withheld else []
        passed_on, holes, covers = self._held.learn(taken, holes, {})
        for record in taken:
            self._source[record.version.writer] = peer
        if taken or covers:
            self._out.append(m.Apply(Delta(taken, covers, complete=True), peer))
            if len(self._links) > 1:
                self._push(passed_on, holes, source=peer)
        received = {r.version.writer: known.upto.get(r.version.writer, 0) for r in admitted}
        for run in push.withheld:
            received[run.writer] = known.upto.get(run.writer, 0)
        self._say(peer, m.Ack(link.taken, received, {}))
        if known.runs > runs:
            link.owes = link.gap = True
            self._ask_next()

    def _on_next(self, peer: str, link: Link, push: m.Push) -> bool:
        """Do so with the next of one writer, one or many; False where a closer look is needed."""
        records, held = push.records, self._held
        found = held.next_of(records, link, self._now_ms() + self.settings.most_ahead_ms)
        if not found:
            return False
        writer, first = found
        held.known.learn(writer, first, first + len(records) - 1)
        risen = {writer: held.known.upto[writer]}
        link.taken = max(link.taken, push.number)
        self._source[writer] = peer
        self._out.append(m.Apply(Delta(records, risen, complete=True), peer))
        if len(self._links) > 1:
            self._push(records, (), source=peer)
        self._out.append(m.Send(peer, m.Ack(link.taken, risen, {})))
        return True

    def _admit(self, peer: str, link: Link, records: Sequence[Record]) -> tuple[list[Record], bool]:
        """Return the records that may be taken in, and whether the rest may count as known.

        A record that cannot be here closes the link.
        """
        admitted, whole, now_ms, known = [], True, self._now_ms(), self._held.known
        for record in records:
            version, namespace = record.version, self._held.namespaces.get(record.namespace)
            if record.namespace in link.refused:
                continue
            ahead = (version.time_hlc >> COUNTER_BITS) - now_ms
            if ahead > self.settings.most_ahead_ms:
                self._refuse(peer, link, p.ahead_words(ahead, self.settings, self.node))
            elif not (version.written and version.writer):
                self._refuse(peer, link, f"expected records with versions, found {version}")
            elif namespace is None:
                whole = False  # its declaration is still to come: met again after the next digest
            elif why := p.misfit(record, namespace):
                self._refuse(peer, link, why)
            elif version.writer == self.writer and not known.has(self.writer, version.sequence):
                whole = False
                self._renew_if_used(version.sequence)
            else:
                admitted.append(record)
            if link.closed:
                return [], False
        return admitted, whole

    def _heard(
        self, peer: str, link: Link, received: Mapping[str, int], durable: Mapping[str, int]
    ) -> None:
        """Take in what a peer says it has, and tell who waits for acknowledgements."""
        more, safer = missing(link.vector, received), missing(link.durable, durable)
        link.vector |= more
        link.durable |= safer
        if peer in self.settings.members:
            self._members[peer] = link.durable
        if more or safer:
            self._out.append(m.Acknowledged(peer, more, safer))

    def _taken(self, peer: str, link: Link, number: int) -> None:
        """Let pushes out of the window, and go on with what waited for room."""
        link.count_taken(number)
        if link.window_bytes <= self.settings.window_bytes // 2:
            if link.lagging:
                link.lagging = False
                self._say(peer, self._digest(link))
            self._mend_next(peer)

    # Asking, and answering.

    def _ask_next(self) -> None:
        """Ask a peer that has what is missing here, unless a question is open."""
        if self._question is not None:
            return
        for peer, link in self._links.items():
            if link.owes and link.open:
                link.owes = False
                if link.gap or self._held.lacks(link):
                    link.gap, link.beyond_asked = False, link.beyond
                    self._number += 1
                    self._question = Question(peer, self._number, 1, self._now_s)
                    parts, beyond = self.settings.batches_ahead, self._held.beyond()
                    ask = m.Ask(self.writer, self._number, dict(self.vector), parts, beyond)
                    self._say(peer, ask)
                    return

    def _serve(self, peer: str, link: Link) -> None:
        """Begin to answer the question that waits, if there is something to answer."""
        ask = link.waiting
        if ask is None or link.answer is not None:
            return
        if missing(ask.known, self._held.durable) or self._held.known.runs:
            link.waiting, link.answer = None, Answer.to(ask)
            self._out.append(m.ReadDelta(peer, link.answer.cursor, link.limit))
        elif not missing(ask.known, self._held.known.upto):
            link.waiting = None
            self._say(peer, m.Batch(ask.session, ask.number, 1, (), {}, complete=True))
        # else it is on its way to the disk, and Stored will answer

    def _delta_read(self, peer: str, delta: Delta) -> None:
        """Send a part of an answer and read the next, or read less where it is too much."""
        link = self._links.get(peer)
        if link is None or link.closed or link.answer is None:
            return
        answer, ask = link.answer, link.answer.ask
        told = filter(answer.lacks, delta.records)
        records = tuple(r for r in told if not (r.namespace in link.refused or self._held.hides(r)))
        size = sum(map(weight_bytes, records))
        if size > 2 * self.settings.batch_bytes and len(records) > 1:
            link.limit = max(1, len(delta.records) * self.settings.batch_bytes // size)
            self._out.append(m.ReadDelta(peer, answer.cursor, link.limit))
            return
        complete = delta.complete and len(delta.records) < link.limit
        link.limit = min(self.settings.batch_records, 2 * link.limit)
        covers = answer.advance(delta)
        if covers is not None and (records or covers or complete):
            answer.part += 1
            batch = m.Batch(ask.session, ask.number, answer.part, records, covers, complete)
            self._say(peer, batch)
        on = covers is None or (not complete and bool(covers or delta.records))
        if on and answer.part < ask.parts and link.waiting is None:
            self._out.append(m.ReadDelta(peer, answer.cursor, link.limit))
        else:
            link.answer = None
            self._serve(peer, link)

    def _on_batch(self, peer: str, link: Link, batch: m.Batch) -> None:
        """Apply a part of an answer, count what it covers, and ask on."""
        admitted, whole = self._admit(peer, link, batch.records)
        if link.closed:
            return
        question = self._question
        asked = (peer, batch.number, self.writer)
        answers = question and (question.peer, question.number, batch.session) == asked
        in_turn = answers and question and question.part == batch.part
        mends = batch.number == 0
        known = self._held.known
        new = [r for r in admitted if mends or not known.has(r.version.writer, r.version.sequence)]
        covers = dict(batch.covers) if in_turn and whole else {}
        self._renew_if_used(covers.pop(self.writer, 0))
        remembered, _, risen = self._held.learn(new, (), covers)
        self._source |= dict.fromkeys(risen, peer)
        if new or risen:
            self._out.append(m.Apply(Delta(tuple(new), risen, complete=True), peer))
        if mends:
            link.taken = max(link.taken, batch.part)
            self._say(peer, m.Ack(link.taken, {}, {}))
            self._comparison.sooner(self._now_s)
        if answers and question:
            question.part, question.since_s = question.part + 1, self._now_s
            last = batch.complete or question.part > self.settings.batches_ahead
            if last or not in_turn or not whole:
                self._question = None
                more = not batch.complete and bool(risen or remembered)
                link.owes = whole and (not in_turn or more)
                link.gap |= more
                self._tell_all(but=peer)
                self._ask_next()

    # Time, and what to tell.

    def _tick(self, now_s: float) -> None:
        """Repeat what may have been lost, and compare contents now and then."""
        self._now_s = now_s
        question = self._question
        if question is not None and now_s - question.since_s > self.settings.ask_timeout_s:
            self._question = None
            self._ask_next()
        if now_s >= self._digest_at_s:
            self._digest_at_s = now_s + self.settings.digest_every_s
            for peer, link in self._links.items():
                if link.open:
                    self._say(peer, self._digest(link))
                elif not link.closed:
                    self._say(peer, self._hello(answer=False))
        if any(link.open for link in self._links.values()):
            self._out += self._comparison.tick(now_s)

    def _drop(self, peer: str) -> None:
        self._links.pop(peer, None)
        self._comparison.forget(peer)
        if self._question is not None and self._question.peer == peer:
            self._question = None

    def _tell_all(self, *, but: str = "") -> None:
        """Send a digest to the others now: what they should know has changed."""
        for peer, link in self._links.items():
            if peer != but and link.open:
                self._say(peer, self._digest(link))

    def _hello(self, *, answer: bool) -> m.Hello:
        return self._held.hello(self._now_ms(), self._neighbours(), answer=answer)

    def _digest(self, link: Link) -> m.Digest:
        return self._held.digest(self._now_ms(), self._neighbours(), self._comparison, link)

    def _neighbours(self) -> tuple[str, ...]:
        return tuple(peer for peer, link in self._links.items() if link.open)

    def _say(self, peer: str, message: m.Message) -> None:
        self._out.append(m.Send(peer, message))

    # Mending, refusing.

    def _mend_next(self, peer: str) -> None:
        """Read more of what a peer lacks, where half of its window is free."""
        link = self._links.get(peer)
        if link is not None and link.open and 2 * link.window_bytes <= self.settings.window_bytes:
            self._out += self._comparison.next_records(peer)

    def _mend(self, peer: str, records: Sequence[Record]) -> None:
        """Send records that a peer lacks; of what is private it gets a tombstone."""
        self._comparison.records_read(peer)
        link = self._links.get(peer)
        if link is None or not link.open:
            return
        shown = [p.tombstone(r) if is_private(r) else r for r in records
                 if r.namespace not in self.settings.private_namespaces]  # fmt: skip
        most = self.settings.batch_bytes
        for part, size in p.parts(shown, most_bytes=most, most_records=m.MOST_RECORDS):
            self._say(peer, m.Batch("", 0, link.count_sent(size), part, {}, complete=True))
        self._comparison.sooner(self._now_s)
        self._mend_next(peer)

    def _refuse(self, peer: str, link: Link, why: str) -> None:
        """Take nothing more from a peer, and tell it and the operator why."""
        self._say(peer, m.Refusal("", why[:2000]))
        self._close(peer, link, why)

    def _close(self, peer: str, link: Link, why: str) -> None:
        link.closed = True
        link.restart()
        if self._question is not None and self._question.peer == peer:
            self._question = None
        self._out.append(m.Refuse(peer, "", why))

    def _refused_by(self, peer: str, link: Link, refusal: m.Refusal) -> None:
        """Stop sending what a peer does not take, and tell the operator why."""
        why = f"{peer} refuses: {refusal.why}"
        if not refusal.namespace:
            self._close(peer, link, why)
        elif refusal.namespace in self._held.namespaces and refusal.namespace not in link.refused:
            link.refused.add(refusal.namespace)
            self._out.append(m.Refuse(peer, refusal.namespace, why))

    def _renew_if_used(self, sequence: int) -> None:
        """Say so where a peer knows writes of our writer that we did not make in this life."""
        if sequence > self.vector.get(self.writer, 0):
            self._out.append(m.Renew(self.writer, sequence))
