"""The elements of 3GPP measurement files and what they mean.

``ThreeGppReader``: TS 32.435 §4 and TS 28.532 §11.3 (same elements, ``measEntity`` for
``managedElement``). ``OldReader``: the short element names of TS 32.401 annex C.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from math import isfinite, nan
from xml.parsers import expat

from cellhive.adapters.pm.pm_collect import NO_PERIOD, NO_TIME, SCALAR, Batch, join_dn
from cellhive.adapters.pm.pm_time import parse_duration, parse_time
from cellhive.core.measurements import Finding, Findings, Severity

MISSING_TEXTS = frozenset({"", "nil", "null", "none", "n/a", "na", "nan", "-", "--", "..."})
"""What is written, in lower case, where there is no value."""

_FAR_US = 6 * 3600 * 1_000_000
"""A period further than this from the times in the header is worth a word [us]."""


def number_of(text: str) -> float | None:
    """Return a plain number, or None; Python's "1_000", "nan" and "inf" are none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) and "_" not in text else None


class ThreeGppReader:
    """Turns the elements of a measCollecFile or measDataFile into rows."""

    def __init__(self, parser: expat.XMLParserType, batch: Batch, findings: Findings) -> None:
        """Write rows to ``batch``, and to ``findings`` what is wrong with them."""
        self._parser = parser
        self._batch = batch
        self._findings = findings
        self._texts: list[str] = []
        self._append = self._texts.append
        # Functions, not bound methods: a reader that holds itself would stay, with its rows,
        # until Python looks for such circles.
        self._begins: dict[str, Callable[[ThreeGppReader, dict[str, str]], None] | None] = {}
        self._ends: dict[str, Callable[[ThreeGppReader, str], None] | None] = {}
        self._prefix = ""
        self._element = ""
        self._no_element_told = False
        self._file_begin: int | None = None
        self._info = ""
        self._types: list[str] = []
        self._positions: list[str] = []
        self._when: tuple[int, float] = (NO_TIME, NO_PERIOD)
        self._object = ""
        self._dns: dict[str, str] = {}
        self._suspect = False
        self._places: list[str] = []
        self._values: list[str] = []
        self._layouts: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._scalars: dict[int, tuple[int, ...]] = {}

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        """Take the start of an element."""
        if tag == "r" and "p" in attributes:  # nine of ten elements, so without detours
            self._places.append(attributes["p"])
            self._parser.CharacterDataHandler = self._append
            return
        try:
            action = self._begins[tag]
        except KeyError:
            name = tag.rpartition(":")[2]
            action = self._begins[tag] = getattr(type(self), f"_begin_{name}", None)
            self._ends[tag] = getattr(type(self), f"_end_{name}", None)
        if action is not None:
            action(self, attributes)
        elif self._ends[tag] is not None:
            self._collect(attributes)

    def end(self, tag: str) -> None:
        """Take the end of an element."""
        if tag == "r":
            self._parser.CharacterDataHandler = None
            texts = self._texts
            self._values.append(texts[0] if len(texts) == 1 else "".join(texts))
            texts.clear()
            return
        action = self._ends.get(tag)
        if action is not None:
            self._parser.CharacterDataHandler = None
            texts = self._texts
            text = texts[0] if len(texts) == 1 else "".join(texts)
            texts.clear()
            action(self, text)

    def _collect(self, _: dict[str, str]) -> None:
        self._texts.clear()
        self._parser.CharacterDataHandler = self._append

    def _say(self, severity: Severity, code: str, *, column: str = "", **words: str) -> None:
        self._findings.add(
            Finding(
                severity,
                code,
                expected=words["expected"],
                found=words["found"],
                action=words["action"],
                file=self._batch.file,
                where=f"line {self._parser.CurrentLineNumber}",
                column=column,
                object=words.get("object", ""),
            )
        )

    # -- header and elements

    def _begin_fileHeader(self, attributes: dict[str, str]) -> None:  # noqa: N802 (3GPP's name)
        self._prefix = attributes.get("dnPrefix", "")

    def _begin_measCollec(self, attributes: dict[str, str]) -> None:  # noqa: N802 (3GPP's name)
        begin = parse_time(attributes.get("beginTime", ""))
        if begin is not None:
            self._file_begin = begin[0]

    def _begin_measData(self, attributes: dict[str, str]) -> None:  # noqa: N802 (3GPP's name)
        if attributes:
            self._begin_measCollec(attributes)
        else:
            self._set_element("")

    def _begin_managedElement(self, attributes: dict[str, str]) -> None:  # noqa: N802 (3GPP's name)
        self._set_element(attributes.get("localDn", "") or attributes.get("userLabel", ""))

    _begin_measEntity = _begin_managedElement  # noqa: N815 (3GPP's name)

    def _set_element(self, name: str) -> None:
        self._element = name
        self._dns.clear()

    # -- measInfo

    def _begin_measInfo(self, attributes: dict[str, str]) -> None:  # noqa: N802 (3GPP's name)
        self._info = attributes.get("measInfoId", "")
        self._types, self._positions = [], []
        self._when = (NO_TIME, NO_PERIOD)
        self._layouts.clear()

    def _begin_granPeriod(self, attributes: dict[str, str]) -> None:  # noqa: N802 (3GPP's name)
        self._set_period(attributes.get("duration", ""), attributes.get("endTime", ""))

    def _set_period(self, duration: str, end_time: str) -> None:
        period_s = parse_duration(duration)
        if not period_s:
            self._say(
                Severity.WARNING,
                "period-unknown",
                expected="a duration such as PT900S",
                found=f"{duration!r}",
                action="the length of the period is null, and its end stands for its start",
            )
        end = parse_time(end_time)
        if end is None:
            self._say(
                Severity.WARNING,
                "time-unknown",
                expected="an end time such as 2024-03-01T14:15:00+01:00",
                found=f"{end_time!r}",
                action="the time is null" if self._file_begin is None else "the header's is used",
            )
            start = NO_TIME if self._file_begin is None else self._file_begin
            self._when = (start, period_s or NO_PERIOD)
            return
        self._batch.zones.add(end[1])
        if end[1] == "":
            self._say(
                Severity.WARNING,
                "time-zone-missing",
                expected="a time zone in every time",
                found=f"{end_time!r}",
                action="the time is taken as it is written",
            )
        start = end[0] - round((period_s or 0.0) * 1e6)
        self._when = (start, period_s or NO_PERIOD)
        if self._file_begin is not None and abs(start - self._file_begin) > _FAR_US:
            self._say(
                Severity.WARNING,
                "time-outside-file",
                expected="periods near the begin time in the header",
                found=f"a period that ends at {end_time!r}",
                action="the period's own time is used",
            )

    def _end_measTypes(self, text: str) -> None:  # noqa: N802 (3GPP's name)
        self._types = text.split()
        self._positions = [str(index + 1) for index in range(len(self._types))]
        self._layouts.clear()

    def _begin_measType(self, attributes: dict[str, str]) -> None:  # noqa: N802 (3GPP's name)
        self._positions.append(attributes.get("p", "").strip() or str(len(self._positions) + 1))
        self._collect(attributes)

    def _end_measType(self, text: str) -> None:  # noqa: N802 (3GPP's name)
        self._types.append(text.strip())
        self._layouts.clear()

    # -- measValue

    def _begin_measValue(self, attributes: dict[str, str]) -> None:  # noqa: N802 (3GPP's name)
        self._begin_row(attributes.get("measObjLdn", ""))

    def _begin_row(self, name: str) -> None:
        self._object = name
        self._suspect = False
        self._places, self._values = [], []

    def _begin_r(self, attributes: dict[str, str]) -> None:
        self._places.append(attributes.get("p") or str(len(self._places) + 1))
        self._collect(attributes)

    def _end_r(self, text: str) -> None:
        self._values.append(text)

    def _end_measResults(self, text: str) -> None:  # noqa: N802 (3GPP's name)
        self._values = text.split()
        self._places = self._positions
        if len(self._values) != len(self._types):
            self._say(
                Severity.ERROR,
                "count-mismatch",
                expected=f"{len(self._types)} values, one per type in measTypes",
                found=f"{len(self._values)}",
                action="the row is left out, because its values cannot be told apart",
                object=self._object,
            )
            self._places, self._values = [], []

    def _end_suspect(self, text: str) -> None:
        self._suspect = text.strip().lower() in {"true", "1"}

    def _end_measValue(self, _: str) -> None:  # noqa: N802 (3GPP's name)
        values = self._values
        if not values:
            return
        if len(self._places) != len(values):
            self._places = self._places[: len(values)]
        places = tuple(self._places)
        layout = self._layouts.get(places)
        if layout is None:
            layout = self._layouts[places] = self._layout_of(places)
        name = self._dns.get(self._object) or self._name_object()
        if "" not in layout and self._add_plain_row(name, layout, values):
            return
        self._add_odd_row(name, layout)

    def _add_plain_row(self, obj: str, names: tuple[str, ...], values: list[str]) -> bool:
        """Add a row that only has numbers and whole vectors; False if it has anything else."""
        joined = ",".join(values)
        try:
            numbers = array("d", map(float, joined.split(",")))
        except ValueError:
            return False
        if not isfinite(sum(numbers)) or "_" in joined:
            return False
        if len(numbers) == len(values):
            sizes = self._scalars.setdefault(len(values), (SCALAR,) * len(values))
        else:
            sizes = tuple(text.count(",") + 1 if "," in text else SCALAR for text in values)
        self._batch.add(obj, self._when, (self._info, names, sizes), numbers, self._suspect)
        return True

    def _layout_of(self, places: tuple[str, ...]) -> tuple[str, ...]:
        """Return the counters at the places, "" for those to be left out."""
        types = dict(zip(self._positions, self._types, strict=False))
        names = tuple(types.get(place.strip(), "") for place in places)
        if "" in names or len(set(names)) < len(names) or "..." in names:
            names = self._checked(names, places)
        return names

    def _checked(self, names: tuple[str, ...], places: tuple[str, ...]) -> tuple[str, ...]:
        kept: list[str] = []
        for name, place in zip(names, places, strict=True):
            found = ""
            if name == "":
                found = f"a value at position {place!r}"
            elif name == "...":
                found = "the placeholder '...'"
            elif name in kept:
                found = f"a second value for '{name}'"
            if found:
                self._say(
                    Severity.WARNING,
                    "value-without-name",
                    expected="one value for each declared counter",
                    found=found,
                    action="the value is left out",
                    object=self._object,
                )
            kept.append("" if found else name)
        return tuple(kept)

    def _name_object(self) -> str:
        if not self._element and not self._no_element_told:
            self._no_element_told = True
            self._say(
                Severity.WARNING,
                "element-missing",
                expected="managedElement or measEntity with a localDn",
                found="none",
                action="objects are named without it",
            )
        name = join_dn(self._prefix, self._element, self._object) or "(unnamed)"
        self._dns[self._object] = name
        return name

    def _add_odd_row(self, obj: str, names: tuple[str, ...]) -> None:
        """Add a row with vectors, missing values, text, or values of no counter."""
        kept: list[str] = []
        sizes: list[int] = []
        numbers = array("d")
        for name, text in zip(names, self._values, strict=False):
            if name == "":
                continue
            value = self._value_of(name, text.strip(), obj)
            if value is None:
                continue
            kept.append(name)
            if isinstance(value, float):
                sizes.append(SCALAR)
                numbers.append(value)
            else:
                sizes.append(len(value))
                numbers.extend(value)
        layout = (self._info, tuple(kept), tuple(sizes))
        self._batch.add(obj, self._when, layout, numbers, self._suspect)

    def _value_of(self, name: str, text: str, obj: str) -> float | list[float] | None:
        """Return a number, a vector (empty: missing), or None for text."""
        number = number_of(text)
        if number is not None:
            return number
        if text.lower() in MISSING_TEXTS:
            self._say_missing(name, text, obj)
            return []
        if "," in text:
            parts = [part.strip() for part in text.split(",")]
            vector = [number_of(part) for part in parts]
            texts = [part for part, value in zip(parts, vector, strict=True) if value is None]
            if all(part.lower() in MISSING_TEXTS for part in texts):
                self._say_missing(name, text, obj)
                return [nan if value is None else value for value in vector]
        self._say(
            Severity.WARNING,
            "value-not-a-number",
            expected="a number",
            found=f"{text[:60]!r}",
            action="kept as text in a label column",
            column=name,
            object=obj,
        )
        self._batch.add_text(obj, self._when, name, text)
        return None

    def _say_missing(self, name: str, text: str, obj: str) -> None:
        self._say(
            Severity.INFO,
            "value-missing",
            expected="a number",
            found=f"{text[:60]!r}",
            action="the value is null",
            column=name,
            object=obj,
        )


class OldReader(ThreeGppReader):
    """Turns the elements of an ``mdc`` file (TS 32.401 annex C) into rows."""

    def _end_cbt(self, text: str) -> None:
        begin = parse_time(text)
        self._file_begin = None if begin is None else begin[0]

    def _end_nedn(self, text: str) -> None:
        self._set_element(text.strip())

    def _end_neun(self, text: str) -> None:
        if not self._element:
            self._set_element(text.strip())

    def _begin_neid(self, _: dict[str, str]) -> None:
        self._set_element("")

    def _begin_mi(self, attributes: dict[str, str]) -> None:
        self._begin_measInfo(attributes)
        self._end_text = ""

    def _end_mts(self, text: str) -> None:
        self._end_text = text.strip()

    def _end_gp(self, text: str) -> None:
        seconds = text.strip()
        self._set_period(f"PT{seconds}S" if seconds.isdigit() else seconds, self._end_text)

    _begin_mt = ThreeGppReader._begin_measType
    _end_mt = ThreeGppReader._end_measType

    def _begin_mv(self, _: dict[str, str]) -> None:
        self._begin_row("")

    def _end_moid(self, text: str) -> None:
        self._object = text.strip()

    _end_sf = ThreeGppReader._end_suspect
    _end_mv = ThreeGppReader._end_measValue
