"""The terminal view of a run: progress, KPIs with trends, decisions; at the end a summary.

It only listens: ``live_view`` gives an observer for the loop's events. Where there is no
terminal it writes a plain line now and then, or nothing.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cellhive.core.ports import Observer
from cellhive.core.types import KpiFrame, Outcome, Plan, Verdict
from cellhive.flows.decide import (
    KEPT,
    ROLLBACK,
    ROLLED_BACK,
    PeriodObserved,
    PlanApplied,
    PlanChecked,
    PlanDecided,
    PlanHeld,
)
from cellhive.flows.policy.served import PolicyNotTaken, PolicyTaken
from cellhive.flows.trial import BaselineObserved, Progress, RunRecord, Truth, truth_of
from cellhive.ran.kpi import network_kpis
from cellhive.reports.numbers import (
    direction,
    format_change,
    format_clock,
    format_duration,
    format_interval,
    format_quantity,
    format_signed,
    label_of,
    shown_unit,
)
from cellhive.reports.run.beside import beside_sentence
from cellhive.reports.run.decisions import change_text, decisions_of, totals_of
from cellhive.reports.run.report import (
    CARDS,
    compared_kpis,
    summary_sentences,
    wrong_decisions,
    wrong_text,
)
from cellhive.reports.run.summary import OBJECTIVE, Compared, effective_window, pooled_kpis

SHOWN = (
    "objective",
    "demand_satisfied_ratio",
    "ue_throughput_mbps",
    "ue_throughput_p5_mbps",
    "handover_failure_ratio",
    "ping_pong_ratio",
    "rlf_per_ue_min",
    "weak_coverage_ratio",
    "prb_utilisation_ratio",
    "power_w",
)
"""KPIs of the view."""

REFRESH_HZ = 4
"""Most redraws per second."""

RECENT = 4
"""Periods that the figures are means over: an hour at 15 minutes each."""

MOST_WRONG = 3
"""Wrong decisions that the summary tells in words."""

_KEPT_LINES = 200
_TREND = 16
_WIDE = 96
_STYLES = {"better": "green", "worse": "red"}
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_STEPS = 10
_REFUSED = "⊘"


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the list of decisions."""

    time_s: float
    sign: str
    text: str
    style: str


@dataclass
class RunView:
    """What the events so far amount to; knows nothing of terminals."""

    title: str
    done: int = 0
    total: int = 0
    clock_s: float = 0.0
    run: dict[str, list[float]] = field(default_factory=dict)
    """Network KPIs of each period."""
    baseline: dict[str, list[float]] = field(default_factory=dict)
    happenings: deque[Happening] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    counts: Counter[str] = field(default_factory=Counter)
    _refusals: list[Verdict] = field(default_factory=list)

    def take(self, event: object) -> None:
        """Take in one event of the loop; unknown ones are left alone."""
        match event:
            case Progress():
                self.done, self.total = event.done, event.total
            case PeriodObserved():
                self.clock_s = event.frame.time_s + event.frame.period_s
                _append(self.run, event.frame, event.objective)
            case BaselineObserved():
                _append(self.baseline, event.frame, event.objective)
            case PlanChecked():
                self._checked(event.verdict)
            case PlanApplied():
                self._applied(event.plan)
            case PlanHeld():
                self.counts["held"] += 1
                self._tell("◌", f"{event.plan.plan_id} held: {event.why}", "yellow")
            case PlanDecided():
                self._decided(event.outcome)
            case PolicyTaken():
                self._tell(
                    "⇄", f"{event.after} decides from now on, before: {event.before}", "cyan"
                )
            case PolicyNotTaken():
                self._tell("!", f"{event.still} goes on deciding: {event.why}", "yellow")
            case _:
                pass

    def _tell(self, sign: str, text: str, style: str) -> None:
        self.happenings.append(Happening(self.clock_s, sign, text, style))

    def _checked(self, verdict: Verdict) -> None:
        if verdict.plan.function != ROLLBACK:
            self.counts["proposed"] += 1
        if verdict.refused:
            self.counts["refused"] += len(verdict.refused)
            self._refused(verdict)

    def _refused(self, verdict: Verdict) -> None:
        """Tell what was refused; refusals that follow one another share a line."""
        last = self.happenings[-1] if self.happenings else None
        if last is not None and last.sign == _REFUSED and last.time_s == self.clock_s:
            self.happenings.pop()
        else:
            self._refusals = []
        self._refusals.append(verdict)
        refused = [refusal for each in self._refusals for refusal in each.refused]
        rules = Counter(refusal.rule for refusal in refused)
        told = ", ".join(f"{rule} {count}×" for rule, count in rules.most_common())
        plans = ", ".join(each.plan.plan_id for each in self._refusals)
        changes = sum(len(each.plan.changes) for each in self._refusals)
        text = f"{plans}: {len(refused)} of {changes} changes refused ({told})"
        self._tell(_REFUSED, f"{text}: {refused[-1].reason}", "dim")

    def _applied(self, plan: Plan) -> None:
        if plan.function == ROLLBACK:
            return
        self.counts["applied"] += 1
        first = plan.changes[0] if plan.changes else None
        more = f" and {len(plan.changes) - 1} more" if len(plan.changes) > 1 else ""
        what = f"{change_text(first)}{more} – {first.reason}" if first is not None else "nothing"
        self._tell("●", f"{plan.plan_id} {what}", "cyan")

    def _decided(self, outcome: Outcome) -> None:
        self.counts[outcome.verdict] += 1
        truth = truth_of(outcome)
        self.counts[truth] += 1
        sign, style = {KEPT: ("✔", "green"), ROLLED_BACK: ("↩", "yellow")}.get(
            outcome.verdict, ("?", "dim")
        )
        told = {Truth.RIGHT: " [right]", Truth.WRONG: " [wrong]"}.get(truth, "")
        style = "red" if truth is Truth.WRONG else style
        text = f"{outcome.plan.plan_id} {outcome.verdict}{told}: {outcome.reason}"
        self._tell(sign, text, style)


def _append(series: dict[str, list[float]], frame: KpiFrame, objective: float) -> None:
    for name, value in (network_kpis(frame) | {OBJECTIVE: objective}).items():
        series.setdefault(name, []).append(value)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def trend(values: Sequence[float], width: int = _TREND) -> str:
    """Return the last values as a line of block characters; unknown ones are blank."""
    shown = list(values[-width:])
    known = [value for value in shown if math.isfinite(value)]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = high - low
    top = len(_BARS) - 1
    return "".join(
        " "
        if not math.isfinite(value)
        else _BARS[round((value - low) / span * top) if span > 0 else top // 2]
        for value in shown
    )


# Drawing -----------------------------------------------------------------------


def draw(view: RunView, *, width: int, height: int, elapsed_s: float) -> RenderableType:
    """Return the whole view for a terminal of a size.

    Args:
        view: What has happened so far.
        width: Columns.
        height: Rows; the list of decisions takes what is left.
        elapsed_s: Wall-clock time since the start, for the estimate of the rest.
    """
    kpis = _kpi_table(view, width)
    room = max(3, height - len(SHOWN) - 9)
    return Group(
        _progress(view, width, elapsed_s),
        Text(),
        kpis,
        Text(),
        _tally(view),
        *_happenings(view, room, width),
    )


def _progress(view: RunView, width: int, elapsed_s: float) -> RenderableType:
    if not view.done or not view.total:
        return Text(f"{view.title}  preparing the first period …", style="bold")
    rest_s = elapsed_s / view.done * (view.total - view.done)
    left = "done" if view.done >= view.total else f"about {format_duration(rest_s)} left"
    head = Text.assemble(
        (view.title, "bold"),
        f"  {format_clock(view.clock_s)}  period {view.done}/{view.total}  {left}",
    )
    bar = ProgressBar(total=view.total, completed=view.done, width=max(10, min(width - 2, 76)))
    return Group(head, bar)


def _kpi_table(view: RunView, width: int) -> Table:
    table = _plain_table()
    table.add_column("KPI", no_wrap=True)
    table.add_column("last hour", justify="right", no_wrap=True)
    if width >= _WIDE:
        table.add_column("since start", justify="right", no_wrap=True)
    table.add_column("vs do nothing", justify="right", no_wrap=True)
    table.add_column("trend", no_wrap=True)
    for name in SHOWN:
        values = view.run.get(name, [])
        if values:
            table.add_row(*_kpi_row(view, name, values, width))
    return table


def _plain_table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def _kpi_row(view: RunView, name: str, values: Sequence[float], width: int) -> list[RenderableType]:
    now = _mean(values[-RECENT:])
    row: list[RenderableType] = [label_of(name), format_quantity(name, now)]
    if width >= _WIDE:
        row.append(Text(format_change(name, now - _mean(values[:RECENT]))))
    beside = view.baseline.get(name, [])[: len(values)]
    gaps = [a - b for a, b in zip(values, beside, strict=False)][-RECENT:]
    row.append(_toned(name, _mean(gaps)) if gaps else "–")
    row.append(Text(trend(values), style="blue"))
    return row


def _toned(name: str, change: float) -> Text:
    tone = direction(name, change)
    arrow = {"better": " ▲", "worse": " ▼"}.get(tone, "  ")
    style = {"better": "green", "worse": "red"}.get(tone, "")
    return Text(format_change(name, change, 2) + arrow, style=style)


def _tally(view: RunView) -> Text:
    c = view.counts
    parts = [
        f"proposed {c['proposed']}",
        f"applied {c['applied']}",
        f"kept {c[KEPT]}",
        f"rolled back {c[ROLLED_BACK]}",
        f"changes refused {c['refused']}",
    ]
    if c["held"]:
        parts.append(f"held {c['held']}")
    if c[Truth.RIGHT] or c[Truth.WRONG]:
        parts.append(f"right {c[Truth.RIGHT]} wrong {c[Truth.WRONG]}")
    return Text(" · ".join(parts), style="dim")


def _happenings(view: RunView, room: int, width: int) -> list[RenderableType]:
    last = list(islice(reversed(view.happenings), room))[::-1]
    lines: list[RenderableType] = []
    for one in last:
        line = Text.assemble(
            (f"{format_clock(one.time_s):>5} ", "dim"), (f"{one.sign} ", one.style), one.text
        )
        line.truncate(width - 1, overflow="ellipsis")
        if one.style == "dim":
            line.stylize("dim")
        lines.append(line)
    return lines


# Terminals -----------------------------------------------------------------------


class Shown:
    """What the loop tells its events to while a view is shown."""

    def __init__(self, tell: Observer, make: Callable[[], Live] | None = None) -> None:
        """Pass events on to ``tell``; ``make`` gives what draws, where anything does."""
        self._tell, self._make = tell, make
        self._live: Live | None = None

    def start(self) -> None:
        """Begin to draw, below what stands on the terminal."""
        if self._make is not None:
            # A new one each time: one that starts again takes the lines above it for its own.
            self._live = self._make()
            self._live.start(refresh=True)

    def stop(self) -> None:
        """Take the view off the terminal."""
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: object) -> None:
        """Take in one event of the loop."""
        self._tell(event)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the view off the terminal for as long as a person is asked something."""
        self.stop()
        try:
            yield
        finally:
            self.start()


@contextmanager
def live_view(
    title: str,
    *,
    console: Console | None = None,
    quiet: bool = False,
    clock: Callable[[], float] = monotonic,
) -> Iterator[Shown]:
    """Show a run while it lasts; gives the observer that the loop must tell.

    A terminal gets the full view, anything else a plain line per tenth of the run. The
    view is redrawn at most ``REFRESH_HZ`` times a second, in a thread of its own.

    Args:
        title: Name of the run.
        console: Where to draw; standard error where not given, so that output can be piped.
        quiet: Show nothing at all.
        clock: Seconds of wall-clock time, for the estimate of what is left.
    """
    console = console or Console(stderr=True)
    if quiet or console.quiet:
        yield Shown(lambda _: None)
        return
    if not console.is_terminal or "utf" not in console.encoding.lower():
        yield Shown(_plain(title, console))
        return
    view, lock, started = RunView(title), threading.Lock(), clock()

    def tell(event: object) -> None:
        with lock:
            view.take(event)

    def frame() -> RenderableType:
        with lock:
            size, elapsed_s = console.size, clock() - started
            shown = draw(view, width=size.width - 1, height=size.height, elapsed_s=elapsed_s)
        return Padding(shown, (0, 0, 0, 1))

    def live() -> Live:
        return Live(
            get_renderable=frame, console=console, refresh_per_second=REFRESH_HZ, transient=True
        )

    shown = Shown(tell, live)
    shown.start()
    try:
        yield shown
    finally:
        shown.stop()


def _plain(title: str, console: Console) -> Observer:
    """Return an observer that writes a plain line at every tenth of the run."""
    view = RunView(title)

    def tell(event: object) -> None:
        view.take(event)
        if not isinstance(event, Progress):
            return
        step = max(1, math.ceil(event.total / _PLAIN_STEPS))
        if event.done % step and event.done != event.total:
            return
        c = view.counts
        line = (
            f"{title}: {format_clock(view.clock_s)}, period {event.done}/{event.total}, "
            f"plans applied {c['applied']}, kept {c[KEPT]}, rolled back {c[ROLLED_BACK]}"
        )
        encoding = console.encoding or "ascii"
        line = line.encode(encoding, "replace").decode(encoding)
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    return tell


# The summary -----------------------------------------------------------------------


def summary_table(record: RunRecord, *, paths: Mapping[str, Path] | None = None) -> RenderableType:
    """Return what a run brought on one screen.

    Args:
        record: The run.
        paths: Where its files are, by what they are: "Report", "Run folder".
    """
    window = effective_window(record)
    compared = compared_kpis(record, window)
    decisions = decisions_of(record)
    parts: list[RenderableType] = []
    if record.interrupted:
        parts.append(Text("Interrupted; this is what was done until then.", style="yellow"))
    sentences = summary_sentences(record, compared, decisions)
    parts += [Text(sentence) for sentence in sentences[: 3 if compared else None]]
    beside = beside_sentence(record)
    if beside and compared:
        parts.append(Text(beside))
    parts += [Text(), _kpis(compared, pooled_kpis(window.run))]
    if any(total.applied for total in totals_of(record)):
        parts += [Text(), _functions(record)]
    wrong = wrong_decisions(decisions)
    if wrong:
        parts.append(Text())
        parts += [Text(f"✘ {wrong_text(d)}", style="red") for d in wrong[:MOST_WRONG]]
        if len(wrong) > MOST_WRONG:
            parts.append(Text(f"  … and {len(wrong) - MOST_WRONG} more wrong ones in the report"))
    if paths:
        width = max(len(name) for name in paths)
        parts.append(Text())
        parts += [
            Text.assemble((f"{name:<{width}}  ", "dim"), (str(path), "bold"), overflow="fold")
            for name, path in paths.items()
        ]
    return Group(*parts)


def _kpis(compared: Mapping[str, Compared], run: Mapping[str, float]) -> Table:
    table = _plain_table()
    table.add_column("KPI", no_wrap=True)
    if compared:
        table.add_column("do nothing", justify="right", no_wrap=True)
    table.add_column("CellHive", justify="right", no_wrap=True)
    if compared:
        table.add_column("change", justify="right", no_wrap=True)
        table.add_column("95 % interval", justify="right", no_wrap=True)
    for name in CARDS:
        if name not in run:
            continue
        unit = shown_unit(name)
        label = Text.assemble(
            (label_of(name), "bold" if name == OBJECTIVE else ""), (f" {unit}", "dim")
        )
        if name not in compared:
            table.add_row(label, _bare(name, run[name]))
            continue
        one = compared[name]
        change, interval = format_interval(name, one.change, one.low, one.high)
        arrow = {"better": " ▲", "worse": " ▼"}.get(one.tone, "  ")
        table.add_row(
            label,
            _bare(name, one.baseline),
            _bare(name, one.run),
            Text(_unitless(change) + arrow, style=_STYLES.get(one.tone, "")),
            interval,
        )
    return table


def _bare(name: str, value: float) -> str:
    return _unitless(format_quantity(name, value, 4, keep=True))


def _unitless(text: str) -> str:
    return text.split("\u00a0", 1)[0]


def _functions(record: RunRecord) -> Table:
    table = _plain_table()
    names = ("proposed", "applied", "kept", "rolled back", "right", "wrong", "true effect")
    table.add_column("Plans of", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for total in totals_of(record):
        table.add_row(
            total.function,
            str(total.proposed),
            str(total.applied),
            str(total.kept),
            str(total.rolled_back),
            Text(str(total.right), style="green" if total.right else ""),
            Text(str(total.wrong), style="red" if total.wrong else ""),
            format_signed(total.effect, 2),
        )
    return table
