"""Finding what version vectors do not show: contents that differ though the vectors agree.

A log restored from a backup, or damaged, may believe to have what it has not. Replicas that
have looked at their logs at the same vector compare a total per namespace; where totals
differ, sums per bucket; where those differ, ids and versions. Each then sends what the
other lacks or has in an older version.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cellhive.memory import messages as m
from cellhive.memory.peers import Link, SyncSettings
from cellhive.memory.versions import differing, fingerprint, total_of

_SOONER = 10
"""After a difference was mended the next comparison comes so many times sooner."""


@dataclass(slots=True)
class _Mending:
    """How far the comparison with one peer has come."""

    summarised: set[str] = field(default_factory=set)
    """Namespaces whose sums it was sent since the last look at the log."""
    heard: dict[str, m.Listing] = field(default_factory=dict)
    """Its listing of a namespace while ours is being read."""
    wanted: deque[tuple[str, tuple[str, ...]]] = field(default_factory=deque)
    """Namespace and ids of records that it is to be sent."""
    reading: bool = False


class Comparison:
    """One node's side of comparing contents with all its peers."""

    def __init__(self, node: str, settings: SyncSettings) -> None:
        """Begin without any sums."""
        self._node, self._settings = node, settings
        self._sums: Mapping[str, bytes] = {}
        self._peers: dict[str, _Mending] = {}
        self._looking = False
        self._next_s: float | None = None
        self.totals: dict[str, int] = {}
        """One number per namespace that may be told of."""
        self.vector_print = 0
        """Fingerprint of the vector at which the totals were taken; 0 before that."""

    def tick(self, now_s: float) -> list[m.Instruction]:
        """Look at the log now and then."""
        if self._next_s is None:
            self._next_s = now_s + self._settings.compare_every_s
        if now_s < self._next_s or self._looking:
            return []
        self._next_s = now_s + self._settings.compare_every_s
        self._looking = True
        return [m.Summarise()]

    def sooner(self, now_s: float) -> None:
        """Compare again before long: something was mended."""
        soon_s = now_s + self._settings.compare_every_s / _SOONER
        self._next_s = soon_s if self._next_s is None else min(self._next_s, soon_s)

    def look(self, event: m.Summarised) -> None:
        """Take in what a look at the log found."""
        self._looking = False
        hidden = self._settings.private_namespaces
        self._sums = {name: sums for name, sums in event.sums.items() if name not in hidden}
        self.totals = {name: total_of(sums) for name, sums in self._sums.items()}
        self.vector_print = fingerprint(event.seen)
        for mending in self._peers.values():
            mending.summarised.clear()

    def forget(self, peer: str) -> None:
        """Drop what concerns a peer that has left."""
        self._peers.pop(peer, None)

    def with_peer(
        self, peer: str, link: Link, vector: Mapping[str, int]
    ) -> list[m.Instruction]:  # fmt: skip
        """Compare totals with a peer's, where both were taken at one vector.

        The node whose name comes first sends sums. A peer that has looked at the vector
        that we have now, and at which we have not looked, makes us look.
        """
        if not link.totals_print:
            return []
        if link.totals_print != self.vector_print:
            if self._looking or link.totals_print != fingerprint(vector):
                return []
            self._looking = True
            return [m.Summarise()]
        mending = self._mending(peer)
        found: list[m.Instruction] = []
        for name, total in self.totals.items():
            differs = link.totals.get(name, total) != total and name not in link.refused
            if differs and self._node < peer and name not in mending.summarised:
                mending.summarised.add(name)
                sums = m.Summary(name, self.vector_print, self._sums[name])
                found.append(m.Send(peer, sums))
        return found

    def on_summary(self, peer: str, summary: m.Summary) -> list[m.Instruction]:
        """List what lies in the buckets that differ from the peer's."""
        ours = self._sums.get(summary.namespace)
        if ours is None or summary.vector_print != self.vector_print:
            return []
        buckets = tuple(differing(ours, summary.sums))
        return [m.ReadListing(peer, summary.namespace, buckets)] if buckets else []

    def on_listing(self, peer: str, listing: m.Listing) -> list[m.Instruction]:
        """Keep a peer's listing until ours has been read."""
        if listing.namespace not in self.totals:
            return []
        self._mending(peer).heard[listing.namespace] = listing
        return [m.ReadListing(peer, listing.namespace, listing.buckets)]

    def on_read(self, event: m.ListingRead) -> list[m.Instruction]:
        """Send our listing, or find what a peer lacks that has sent its own."""
        mending = self._mending(event.peer)
        heard = mending.heard.pop(event.namespace, None)
        if heard is not None:
            lacking = _lacking(event.entries, heard.entries)
            for start in range(0, len(lacking), self._settings.mend_records):
                ids = tuple(lacking[start : start + self._settings.mend_records])
                mending.wanted.append((event.namespace, ids))
            if heard.answer:
                return []
        entries = tuple(
            m.Entry(e.id, e.version.time_hlc, e.version.writer, e.version.sequence)
            for e in event.entries
            if not e.private
        )[: m.MOST_ENTRIES]
        answer = heard is not None
        return [m.Send(event.peer, m.Listing(event.namespace, event.buckets, entries, answer))]

    def next_records(self, peer: str) -> list[m.Instruction]:
        """Read the next records that a peer lacks, unless some are being read."""
        mending = self._peers.get(peer)
        if mending is None or mending.reading or not mending.wanted:
            return []
        mending.reading = True
        return [m.ReadRecords(peer, *mending.wanted.popleft())]

    def records_read(self, peer: str) -> None:
        """Take note that records were read."""
        self._mending(peer).reading = False

    def _mending(self, peer: str) -> _Mending:
        return self._peers.setdefault(peer, _Mending())


def _lacking(ours: Iterable[m.Listed], theirs: Iterable[m.Entry]) -> list[str]:
    """Return ids of records that the other side lacks or has in an older version.

    What is private here, or a tombstone, concerns only those who have the record: they get
    a tombstone.
    """
    versions = {entry.id: entry.version for entry in theirs}
    return sorted(
        entry.id
        for entry in ours
        if (entry.id in versions and versions[entry.id] < entry.version)
        or not (entry.id in versions or entry.private or entry.deleted)
    )
