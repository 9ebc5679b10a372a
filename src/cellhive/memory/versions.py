"""Who wrote what when: a hybrid logical clock, version vectors, sums over what is held.

Source of the clock: Kulkarni et al., "Logical Physical Clocks" (2014), with one 64-bit
number in place of the pair (l, c): 48 bits of milliseconds, 16 bits that count within one.
A version vector maps a writer to the sequence up to which all its writes are known.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.ports import RecordLog
from cellhive.core.records import PRIVACY, PRIVATE, Record, Version
from cellhive.memory.batches.faults import fault

BUCKETS = 1_024
"""Parts into which the ids of a namespace fall when two replicas look for a difference."""

COUNTER_BITS = 16
"""Low bits of a hybrid time, which count within a millisecond."""

MOST_AHEAD_MS = 86_400_000
"""How far ahead of the wall clock a log takes stamped records: a day."""
MOST_BEYOND_MS = 60_000
"""How far beyond the highest time it has: a machine whose clock stands still counts on from it."""


@dataclass(slots=True)
class HybridClock:
    """Gives ever-growing times that stay near the wall clock and after all that was seen.

    Not safe for use by several threads at once.
    """

    now_ms: Callable[[], int]
    """Wall clock [ms since the epoch]; it may jump."""
    last: int = 0
    """Highest time given or seen."""

    def tick(self) -> int:
        """Return a time later than every one given or seen before."""
        now = self.now_ms() << COUNTER_BITS
        self.last = last = now if now > self.last else self.last + 1
        return last

    def ticks(self, count: int) -> range:
        """Return times like ``tick``, one after the other."""
        first = self.tick()
        self.last = first + count - 1
        return range(first, first + count)

    def observe(self, time_hlc: int) -> None:
        """Take in a time somebody else gave."""
        self.last = max(self.last, time_hlc)

    def must_accept(self, time_hlc: int, place: str) -> None:
        """Raise BadInput for a time so far ahead that it would drag this clock away.

        Args:
            time_hlc: Of a record that somebody else stamped.
            place: The record, for the message.
        """
        if time_hlc <= self.last:
            return
        latest = max(self.now_ms() + MOST_AHEAD_MS, wall_ms(self.last) + MOST_BEYOND_MS)
        if wall_ms(time_hlc) > latest:
            raise BadInput(
                expected=f"a time at most {MOST_AHEAD_MS / 3_600_000:g} h ahead of the clock",
                found=f"{(wall_ms(time_hlc) - self.now_ms()) / 3_600_000:.1f} h",
                remedy="set the clocks right, here and where it was written", place=place,
            )  # fmt: skip


def wall_ms(time_hlc: int) -> int:
    """Return the milliseconds since the epoch in a hybrid time."""
    return time_hlc >> COUNTER_BITS


def merge(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return what is known when both are."""
    merged = dict(one)
    for writer, sequence in other.items():
        if sequence > merged.get(writer, 0):
            merged[writer] = sequence
    return merged


def missing(known: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return the part of another vector that goes beyond what is known."""
    return {w: sequence for w, sequence in other.items() if sequence > known.get(w, 0)}


def dominates(known: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """Return whether all that the other vector knows is known."""
    return not missing(known, other)


def common(vectors: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return what every one of some vectors knows."""
    first, *others = vectors
    return {
        writer: least
        for writer, sequence in first.items()
        if (least := min([sequence, *(v.get(writer, 0) for v in others)])) > 0
    }


def fingerprint(vector: Mapping[str, int]) -> int:
    """Return 63 bits that tell vectors apart; never 0."""
    said = "\0".join(f"{w}\0{n}" for w, n in sorted(vector.items()) if n)
    return _number(said) >> 1 or 1


@dataclass(slots=True)
class KnownWrites:
    """Writes known of each writer: all up to a number, and runs of numbers beyond it."""

    upto: dict[str, int] = field(default_factory=dict)
    """The version vector."""
    most_runs: int = 1_024
    """How many runs beyond it are remembered, of all writers together."""
    _beyond: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        """How many runs of numbers lie beyond a gap."""
        return sum(map(len, self._beyond.values()))

    def beyond(self) -> Iterator[tuple[str, int, int]]:
        """Yield the runs beyond gaps: writer, first and last number."""
        for writer, runs in self._beyond.items():
            for first, last in runs:
                yield writer, first, last

    def has(self, writer: str, sequence: int) -> bool:
        """Return whether a write is known."""
        if sequence <= self.upto.get(writer, 0):
            return True
        return writer in self._beyond and sequence <= self._run_at(writer, sequence)[1]

    def has_all(self, writer: str, first: int, last: int) -> bool:
        """Return whether a run of writes is known; one that is none, too."""
        return first > last or (
            self.has(writer, last)
            and (last <= self.upto.get(writer, 0) or self._run_at(writer, last)[0] <= first)
        )

    def _run_at(self, writer: str, sequence: int) -> tuple[int, int]:
        """Return the run beyond the gap that begins last at or before a number."""
        runs = self._beyond.get(writer, [])
        at = bisect.bisect_right(runs, sequence, key=lambda run: run[0]) - 1
        return runs[at] if at >= 0 else (0, 0)

    def learn(self, writer: str, first: int, last: int) -> bool:
        """Take in that a run of writes is known.

        Returns:
            False where there is no room to remember it: it will be met again.
        """
        upto = self.upto.get(writer, 0)
        if last <= upto:
            return True
        if first == upto + 1 and writer not in self._beyond:
            self.upto[writer] = last
            return True
        if first <= upto + 1:
            self._advance(writer, last)
            return True
        runs = self._beyond.get(writer, [])
        low = bisect.bisect_left(runs, first - 1, key=lambda run: run[1])
        high = bisect.bisect_right(runs, last + 1, key=lambda run: run[0])
        if low == high and self.runs >= self.most_runs:
            return False
        if low < high:
            first, last = min(first, runs[low][0]), max(last, runs[high - 1][1])
        runs[low:high] = [(first, last)]
        self._beyond[writer] = runs
        return True

    def is_next(self, writer: str, first: int) -> bool:
        """Whether a run that begins with this number is next, and none of it can be known."""
        return first == self.upto.get(writer, 0) + 1 and writer not in self._beyond

    def cover(self, vector: Mapping[str, int]) -> None:
        """Take in that all is known up to the numbers of a vector."""
        for writer, sequence in vector.items():
            if sequence > self.upto.get(writer, 0):
                self._advance(writer, sequence)

    def _advance(self, writer: str, sequence: int) -> None:
        """Move a writer's number up, and over the runs that it now reaches."""
        runs = self._beyond.get(writer, [])
        reached = 0
        while reached < len(runs) and runs[reached][0] <= sequence + 1:
            sequence = max(sequence, runs[reached][1])
            reached += 1
        self.upto[writer] = sequence
        if reached == len(runs):
            self._beyond.pop(writer, None)
        else:
            del runs[:reached]


def is_private(record: Record, *, checked: bool = False) -> bool:
    """Return whether a record must not leave its node, or cannot.

    Its metadata ``privacy`` is "private", or no peer could read it (``faults.fault``): one
    such record must not keep a node from replicating the others. ``checked``: they can.
    """
    marked = record.metadata.get(PRIVACY) == PRIVATE
    return marked or not (checked or not fault(record))


def bucket_of(name: str) -> int:
    """Return the bucket of a record's id."""
    return _number(name) % BUCKETS


def sums_of(log: RecordLog) -> dict[str, bytes]:
    """Return for each namespace of a log one sum per bucket, as little-endian 64-bit numbers.

    The sums are over hashes of id and version of the records that are there and not private,
    so they do not depend on order, and a tombstone that was dropped makes no difference.
    Reads the whole log.
    """
    sums = {name: np.zeros(BUCKETS, np.uint64) for name in log.namespaces()}
    for record in every_record(log):
        if not record.deleted and not is_private(record):
            into = sums.setdefault(record.namespace, np.zeros(BUCKETS, np.uint64))
            into[bucket_of(record.id)] += np.uint64(_entry_number(record.id, record.version))
    return {name: into.astype("<u8").tobytes() for name, into in sums.items()}


def every_record(log: RecordLog, *, page: int = 1_024) -> Iterator[Record]:
    """Yield all records of a log at their latest versions, tombstones too, each once."""
    known: dict[str, int] = {}
    beyond: set[tuple[str, str, Version]] = set()
    while True:
        delta = log.since(known, limit=page)
        known = merge(known, delta.covers)
        for record in delta.records:
            if record.version.sequence > known.get(record.version.writer, 0):
                told = (*record.key, record.version)
                if told in beyond:
                    continue
                beyond.add(told)
            yield record
        if delta.complete:
            if len(delta.records) < page:
                return
            page *= 2  # more may lie beyond gaps, which come again each time


def total_of(sums: bytes) -> int:
    """Return 63 bits that tell the sums of a namespace apart."""
    return int.from_bytes(hashlib.blake2b(sums, digest_size=8).digest(), "little") >> 1


def differing(one: bytes, other: bytes) -> list[int]:
    """Return the buckets in which two sums of a namespace differ; all where they do not match."""
    if len(one) != 8 * BUCKETS or len(other) != 8 * BUCKETS:
        return list(range(BUCKETS))
    ours, theirs = np.frombuffer(one, "<u8"), np.frombuffer(other, "<u8")
    found: npt.NDArray[np.intp] = np.flatnonzero(ours != theirs)
    return [int(bucket) for bucket in found]


def _entry_number(name: str, version: Version) -> int:
    """Return 64 bits of a record's id and version."""
    return _number(f"{name}\0{version.time_hlc}\0{version.writer}\0{version.sequence}")


def _number(words: str) -> int:
    """Return 64 bits of a string, the same everywhere."""
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "little")
