"""What replicas say to one another; what a replica is told, and what it asks to be done.

Messages travel (``codec.py`` gives their bytes). Events and instructions pass between the
state machine (``sync.py``) and the adapter that owns sockets and the log. A version vector
maps a writer to the highest sequence up to which everything of that writer is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from cellhive.core.records import Delta, Namespace, Record, Version

PROTOCOL = 2
"""Changes whenever an older replica would misunderstand a newer one."""

MOST_WRITERS = 65_536
MOST_NAMESPACES = 4_096
MOST_RECORDS = 4_096
MOST_ENTRIES = 32_768
LONGEST_NAME = 512
"""Bounds of what one message may list, and of the names in it [characters]."""

Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Vector = Annotated[dict[Name, Count], msgspec.Meta(max_length=MOST_WRITERS)]
Totals = Annotated[dict[Name, Count], msgspec.Meta(max_length=MOST_NAMESPACES)]
Buckets = Annotated[tuple[Annotated[int, msgspec.Meta(ge=0, le=65_535)], ...],
                    msgspec.Meta(max_length=65_536)]  # fmt: skip


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive numbers of a writer."""

    writer: Name
    first: Count
    last: Count


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """The first message of a connection, and the first after a replica lost its memory."""

    protocol: Count
    node: Name
    """Who speaks: the name in its certificate."""
    session: Name
    """This life of it: its writer, never used before."""
    answer: bool
    """Whether this replies to a Hello; one that does not wants a reply."""
    time_ms: Count
    """Its wall clock [ms since the epoch]."""
    namespaces: Annotated[tuple[Namespace, ...], msgspec.Meta(max_length=MOST_NAMESPACES)]
    """What it holds and may tell of."""
    vector: Vector
    """What it can search."""
    undurable: Vector
    """Where ``vector`` is ahead of its disk: how far its disk is."""
    neighbours: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MOST_NAMESPACES)]
    """Nodes it is connected to."""
    beyond: Annotated[tuple[Run, ...], msgspec.Meta(max_length=MOST_RECORDS)]
    """Writes that it has although some before them are missing."""
    synced: Count
    """How often its disk has synced: what is beyond may only now be there to be read."""


class Digest(msgspec.Struct, frozen=True, array_like=True):
    """Sent now and then, and when something was held back: all that tells replicas apart."""

    time_ms: Count
    namespaces: Annotated[tuple[Namespace, ...], msgspec.Meta(max_length=MOST_NAMESPACES)]
    vector: Vector
    undurable: Vector
    neighbours: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MOST_NAMESPACES)]
    beyond: Annotated[tuple[Run, ...], msgspec.Meta(max_length=MOST_RECORDS)]
    synced: Count
    totals: Totals
    """Digest of the content of each namespace, as it was when ``vector`` had the print below."""
    totals_print: Count
    """Fingerprint of the vector at which the totals were taken; 0 where there are none."""
    pushed: Count
    """Number of the last push to this peer: what came before and did not arrive is lost."""
    taken: Count
    """Number of the last push taken in from this peer."""


class Push(msgspec.Struct, frozen=True, array_like=True):
    """Writes, as they happen. Each record is the write of its own number, and no other."""

    number: Count
    """Counts the pushes of this connection, from 1; acknowledged by it."""
    records: tuple[Record, ...]
    withheld: Annotated[tuple[Run, ...], msgspec.Meta(max_length=MOST_RECORDS)] = ()
    """Numbers that no replica will be given: private writes."""


class Ack(msgspec.Struct, frozen=True, array_like=True):
    """What has arrived, in two steps; entries that did not change are left out."""

    number: Count
    """Highest push taken in."""
    received: Vector
    """What can be searched."""
    durable: Vector
    """What is on disk."""


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """Send me what I lack."""

    session: Name
    """Who asks: which life of it."""
    number: Count
    """Counts the questions of that life."""
    known: Vector
    """What it has. What it has covered so far is how a broken transfer goes on."""
    parts: Annotated[int, msgspec.Meta(ge=1, le=64)]
    """How many batches may come before the next question."""
    beyond: Annotated[tuple[Run, ...], msgspec.Meta(max_length=MOST_RECORDS)] = ()
    """What it has beyond gaps, and need not be sent."""


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Part of an answer: whoever has what was known, and the parts before, has what it covers."""

    session: Name
    number: Count
    """The question answered; 0 for records sent to mend a difference, which cover nothing."""
    part: Count
    """Which part of the answer, from 1."""
    records: tuple[Record, ...]
    covers: Vector
    complete: bool
    """Whether nothing durable is left to send."""


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """Content of one namespace by buckets, after totals differed at equal vectors."""

    namespace: Name
    vector_print: Count
    sums: Annotated[bytes, msgspec.Meta(max_length=65_536)]
    """One 64-bit sum per bucket, little-endian."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One record by name and version."""

    id: Annotated[str, msgspec.Meta(max_length=512)]
    time_hlc: Count
    writer: Name
    sequence: Count

    @property
    def version(self) -> Version:
        """The version as logs know it."""
        return Version(self.time_hlc, self.writer, self.sequence)


class Listing(msgspec.Struct, frozen=True, array_like=True):
    """What the sender has in buckets that differ; the receiver sends what is older or missing."""

    namespace: Name
    buckets: Buckets
    entries: Annotated[tuple[Entry, ...], msgspec.Meta(max_length=MOST_ENTRIES)]
    answer: bool
    """Whether this replies to a listing; one that does not wants a reply."""


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """Why the sender takes nothing from this peer, or nothing of one namespace."""

    namespace: Name
    """Empty where all is refused."""
    why: Annotated[str, msgspec.Meta(max_length=2_000)]


Message = Hello | Digest | Push | Ack | Ask | Batch | Summary | Listing | Refusal


# Events: what the adapter tells a replica. Those of every write are structs, which are made in
# a fifth of the time of a frozen dataclass.


@dataclass(frozen=True, slots=True)
class Joined:
    """A connection to a peer is up, both ends known by certificate."""

    peer: str


@dataclass(frozen=True, slots=True)
class Left:
    """It is down. Nothing that was sent and not acknowledged can be relied on."""

    peer: str


class Received(msgspec.Struct, frozen=True):
    """A message came."""

    peer: str
    message: Message


class Wrote(msgspec.Struct, frozen=True):
    """This node wrote: stamped records, perhaps before they are on disk.

    ``covers`` may be left empty where the records are all that was written; a node whose
    log is written by several processes passes both parts of a delta since what is known.
    """

    records: tuple[Record, ...]
    covers: Mapping[str, int] = msgspec.field(default_factory=dict)
    checked: bool = False
    """Whether the records are known to be ones that every peer can read (``faults.fault``)."""
    weight_bytes: int = 0
    """What they weigh (``faults.weights_bytes``); 0 where nobody has looked."""


class Stored(msgspec.Struct, frozen=True):
    """The log has these on disk: what an Apply or a Wrote covered, once it is committed."""

    covers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """The log could not take an Apply. The adapter drops all that wait behind it, too."""

    seen: Mapping[str, int]
    """What the log has seen: the replica goes on from there."""


@dataclass(frozen=True, slots=True)
class DeltaRead:
    """The answer to ReadDelta."""

    peer: str
    delta: Delta


@dataclass(frozen=True, slots=True)
class Declared:
    """This node declared a namespace."""

    namespace: Namespace


class Tick(msgspec.Struct, frozen=True):
    """Time passes; a few times a second will do."""

    now_s: float
    """Any clock that never goes back [s]."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One record of the log, as an answer to ReadListing; tombstones and private ones too."""

    id: str
    version: Version
    private: bool
    deleted: bool


@dataclass(frozen=True, slots=True)
class Summarised:
    """The answer to Summarise: one consistent look at the log."""

    seen: Mapping[str, int]
    """The log's vector at that look."""
    sums: Mapping[str, bytes]
    """Bucket sums by namespace (``versions.Sums``)."""


@dataclass(frozen=True, slots=True)
class ListingRead:
    """The answer to ReadListing."""

    peer: str
    namespace: str
    buckets: tuple[int, ...]
    entries: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class RecordsRead:
    """The answer to ReadRecords: each as the log has it; tombstones and private ones too."""

    peer: str
    records: tuple[Record, ...]


Event = (
    Joined | Left | Received | Wrote | Stored | StoreFailed | DeltaRead | Declared | Tick
    | Summarised | ListingRead | RecordsRead
)  # fmt: skip


# Instructions: what a replica asks the adapter to do, in this order.


class Send(msgspec.Struct, frozen=True):
    """Send a message; what is sent to one peer stays in order."""

    peer: str
    message: Message
    weight_bytes: int = 0
    """About how large a push is."""


class Apply(msgspec.Struct, frozen=True):
    """Make records searchable now, then let the log absorb the delta, then say Stored.

    The log must absorb in the order of these instructions, and after a failure none of
    those behind it: a later one may cover what an earlier one brought.
    """

    delta: Delta
    peer: str


@dataclass(frozen=True, slots=True)
class ReadDelta:
    """Read ``log.since(known, limit=limit)`` and answer with DeltaRead; may take its time."""

    peer: str
    known: Mapping[str, int]
    limit: int


@dataclass(frozen=True, slots=True)
class Declare:
    """A peer holds a namespace that is not known here: declare it, before what follows."""

    namespace: Namespace
    peer: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell the operator. With an empty namespace: close the connection; try again much later."""

    peer: str
    namespace: str
    why: str


class Acknowledged(msgspec.Struct, frozen=True):
    """A peer can search, or has on disk, everything of these writers up to these numbers."""

    peer: str
    received: Mapping[str, int]
    durable: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Summarise:
    """Look at the whole log (``versions.Sums``) and answer with Summarised; may take its time."""


@dataclass(frozen=True, slots=True)
class ReadListing:
    """List a namespace's records in buckets, tombstones too; answer with ListingRead."""

    peer: str
    namespace: str
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadRecords:
    """Read records by id, tombstones too, and answer with RecordsRead."""

    peer: str
    namespace: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Renew:
    """This writer's name has been used before (a restored backup?): open the log anew.

    Repeated until the log has a writer whose number is above those that peers have seen.
    """

    writer: str
    used_up_to: int


Instruction = (
    Send | Apply | ReadDelta | Declare | Refuse | Acknowledged | Summarise | ReadListing
    | ReadRecords | Renew
)  # fmt: skip
