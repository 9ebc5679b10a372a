"""Known patterns of radio networks: small causal graphs with signs, matched to a posterior.

A pattern says what breaks, along which path that is felt, and which mechanisms then depart
from what their causes explain. Matching it asks the drawn models: in what share of them does
every step of the path lead on, directly or through others, with the sign it should have?
Names are those of ``core.schema``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cellhive.causal.effects import Mechanisms
from cellhive.causal.incidents.departures import direct_weights
from cellhive.causal.motifs import Tier
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Floats

_SURE, _LIKELY, _HARDLY = 0.95, 0.7, 0.05


@dataclass(frozen=True)
class Step:
    """One cause and what it does."""

    cause: str
    effect: str
    sign: int
    """1: more leads to more; -1: more leads to less."""


@dataclass(frozen=True)
class Pattern:
    """What breaks, how it is felt, and what it looks like."""

    name: str
    meaning: str
    """In a sentence, for people."""
    path: tuple[Step, ...] = ()
    departs: Mapping[str, int] = field(default_factory=dict)
    """Signs of what is left unexplained at the cell, by quantity."""
    remedy: str = ""


def _path(*steps: str) -> tuple[Step, ...]:
    """Return steps from "cause + effect" or "cause - effect"."""
    parts = [step.split() for step in steps]
    return tuple(Step(a, b, 1 if sign == "+" else -1) for a, sign, b in parts)


def _signs(text: str) -> dict[str, int]:
    """Return signs from "+name -name"."""
    return {word[1:]: 1 if word[0] == "+" else -1 for word in text.split()}


_FELT_BY_LOSS = ("rlf_per_ue_min + interruption_ratio",)

PATTERNS: Mapping[str, Pattern] = {
    one.name: one
    for one in (
        Pattern(
            "too late handover",
            "Users are held until their link fails, and come back in the cell they should have "
            "been handed to.",
            _path("a3_offset_db + HO.IntraSys.TooLate", "time_to_trigger_s + HO.IntraSys.TooLate",
                  "cio_db - HO.IntraSys.TooLate", "HO.IntraSys.TooLate + rlf_per_ue_min",
                  *_FELT_BY_LOSS),
            _signs("+HO.IntraSys.TooLate -MM.HoPrepInterReq +interference_ratio -sinr_mean_db"),
            "lower the A3 offset or the time to trigger, or raise the offset towards the neighbour",
        ),
        Pattern(
            "too early handover",
            "Users are handed over before the target is good enough, fail there and come back.",
            _path("a3_offset_db - HO.IntraSys.TooEarly",
                  "time_to_trigger_s - HO.IntraSys.TooEarly",
                  "HO.IntraSys.TooEarly + rlf_per_ue_min", *_FELT_BY_LOSS),
            _signs("+HO.IntraSys.TooEarly +HO.IntraSys.ToWrongCell +MM.HoPrepInterReq"),
            "raise the A3 offset or the time to trigger",
        ),
        Pattern(
            "ping-pong",
            "Users are handed back and forth between cells.",
            _path("a3_offset_db - x.HoPingPong", "hysteresis_db - x.HoPingPong",
                  "time_to_trigger_s - x.HoPingPong", "cio_db + x.HoPingPong",
                  "x.HoPingPong + interruption_ratio"),
            _signs("+x.HoPingPong +MM.HoPrepInterReq"),
            "raise the A3 offset, the hysteresis or the time to trigger",
        ),
        Pattern(
            "missing neighbour",
            "No handover to one neighbour is ever started; users are lost on the way there.",
            _path("HO.IntraSys.TooLate + rlf_per_ue_min",
                  "HO.IntraSys.TooLate - demand_satisfied_ratio", *_FELT_BY_LOSS),
            _signs("+HO.IntraSys.TooLate -MM.HoPrepInterReq"),
            "add the neighbour relation, or allow handovers on it",
        ),
        Pattern(
            "coverage hole",
            "Part of the area is no longer covered: something stands in front of the antenna.",
            _path("weak_coverage_ratio + x.CoverageHoleFailure",
                  "weak_coverage_ratio + rlf_per_ue_min", "rsrp_mean_dbm + sinr_mean_db"),
            _signs("-rsrp_mean_dbm -sinr_mean_db -RRC.ConnMean +weak_coverage_ratio "
                   "+x.CoverageHoleFailure"),
            "look at the site; cover the area from a neighbour",
        ),
        Pattern(
            "overshooting",
            "The antenna looks too far up: the cell serves and disturbs far beyond its neighbours.",
            _path("electrical_tilt_deg + rsrp_mean_dbm", "electrical_tilt_deg - RRC.ConnMean",
                  "rsrp_mean_dbm + sinr_mean_db"),
            _signs("+RRC.ConnMean -rsrp_mean_dbm +HO.IntraSys.TooLate -demand_satisfied_ratio"),
            "tilt the antenna down; check the remote tilt unit",
        ),
        Pattern(
            "tilted too far down",
            "The antenna looks too far down: the cell shrinks, its neighbours serve its edge.",
            _path("electrical_tilt_deg - RRC.ConnMean", "RRC.ConnMean + prb_utilisation_ratio"),
            _signs("-RRC.ConnMean +weak_coverage_ratio"),
            "tilt the antenna up; check the remote tilt unit",
        ),
        Pattern(
            "turned antenna",
            "The antenna looks another way than planned, into the area of other cells.",
            _path("sinr_mean_db + ue_throughput_mbps", "sinr_mean_db - prb_utilisation_ratio"),
            _signs("-sinr_mean_db -RRC.ConnMean +HO.IntraSys.ToWrongCell"),
            "check azimuth and feeders at the site",
        ),
        Pattern(
            "power loss",
            "The amplifier radiates less than configured, and draws less.",
            _path("tx_power_dbm + rsrp_mean_dbm", "tx_power_dbm + PEE.AvgPower",
                  "rsrp_mean_dbm + sinr_mean_db"),
            _signs("-PEE.AvgPower -rsrp_mean_dbm -RRC.ConnMean -sinr_mean_db"),
            "exchange the power amplifier",
        ),
        Pattern(
            "cell outage",
            "The cell transmits nothing; its neighbours take what they can.",
            _path("asleep - RRU.PrbAvailDl", "asleep - PEE.AvgPower", "asleep - RRC.ConnMean"),
            _signs("-RRU.PrbAvailDl -PEE.AvgPower -RRC.ConnMean"),
            "restart the cell; send somebody to the site",
        ),
        Pattern(
            "sleeping cell",
            "The cell transmits and reports no alarm, but lets nobody in.",
            _path("MM.HoPrepInterFail - handover_success_ratio"),
            _signs("-RRC.ConnMean -MM.HoPrepInterReq -demand_satisfied_ratio"),
            "restart the cell",
        ),
        Pattern(
            "overload",
            "More is asked of the cell than it can carry.",
            _path("RRC.ConnMean + prb_utilisation_ratio", "RRC.ConnMean - ue_throughput_mbps",
                  "RRC.ConnMean - demand_satisfied_ratio"),
            _signs("+RRC.ConnMean -demand_satisfied_ratio"),
            "move users to neighbours; add capacity",
        ),
        Pattern(
            "downlink interference",
            "Somebody else transmits in the band.",
            _path("sinr_mean_db - interference_ratio", "interference_ratio + rlf_per_ue_min",
                  "sinr_mean_db - prb_utilisation_ratio", "sinr_mean_db + ue_throughput_mbps"),
            _signs("-sinr_mean_db +interference_ratio +x.CoverageHoleFailure "
                   "-rrc_setup_success_ratio"),
            "look for the source with a spectrum analyser",
        ),
        Pattern(
            "lost capacity",
            "Fewer resource blocks are there than were: a carrier, a licence or a board is gone.",
            _path("RRU.PrbAvailDl - prb_utilisation_ratio",
                  "RRU.PrbAvailDl + ue_throughput_mbps"),
            _signs("-RRU.PrbAvailDl -demand_satisfied_ratio +prb_utilisation_ratio"),
            "check carriers, licences and boards",
        ),
    )
}  # fmt: skip
"""Patterns by name. The twin has no uplink, so uplink interference has none."""


@dataclass(frozen=True)
class StepMatch:
    """What a posterior says of one step."""

    step: Step
    variables: tuple[str, str]
    """Of the data, that stand for its cause and its effect."""
    probability: float
    """Share of the drawn models in which it leads on with its sign."""
    effect: float
    """Mean total effect, in units of the effect per unit of the cause."""
    direct: float
    """Probability of an edge between the two."""


@dataclass(frozen=True)
class Match:
    """What a posterior says of a pattern."""

    pattern: Pattern
    probability: float
    """Share of the drawn models that have all steps that data can show; NaN: none can."""
    steps: tuple[StepMatch, ...]
    unseen: tuple[Step, ...]
    """Steps with a quantity that the data do not have."""

    def explain(self) -> str:
        """Return the match in words, with its numbers."""
        if not self.steps:
            return (
                f"{self.pattern.name}: {self.pattern.meaning} The data hold no two quantities of "
                "its path, so they cannot tell."
            )
        share = self.probability
        head = f"{self.pattern.name}: {self.pattern.meaning}"
        lines = [f"{head} Its path {_word(share)} ({share:.2f})."]
        lines += [_told(one) for one in self.steps]
        if self.unseen:
            missing = ", ".join(f"{s.cause} -> {s.effect}" for s in self.unseen)
            lines.append(f"  not to be seen in these data: {missing}")
        if self.pattern.remedy:
            lines.append(f"  what helps: {self.pattern.remedy}")
        return "\n".join(lines)


def _word(share: float) -> str:
    limits = ((_SURE, "is there"), (_LIKELY, "is likely"), (_HARDLY, "is in doubt"))
    return next((word for limit, word in limits if share >= limit), "is not there")


def _told(one: StepMatch) -> str:
    step, (cause, effect) = one.step, one.variables
    verb = "raises" if step.sign > 0 else "lowers"
    unit, per = "", "unit of it"
    if cause == step.cause and effect == step.effect:  # else the scale is another one
        unit, per = QUANTITIES[effect].unit, QUANTITIES[cause].unit or "unit"
    size = f"{one.effect:+.3g}{' ' + unit if unit else ''} per {per}"
    how = "directly" if one.direct >= 0.5 else "through others"  # noqa: PLR2004
    return f"  {cause} {verb} {effect}: probability {one.probability:.2f}, {size}, {how}"


def match(
    pattern: Pattern, mechanisms: Mechanisms, *, like: Mapping[str, str | Tier] | None = None
) -> Match:
    """Return whether the path of a pattern is there, with its signs, in drawn models.

    Args:
        pattern: The pattern.
        mechanisms: Drawn models, without lags.
        like: The quantity of ``core.schema`` that a variable of another name stands for, on
            any rising scale.

    Raises:
        BadInput: If the mechanisms have lags.
    """
    return match_all([pattern], mechanisms, like=like)[0]


def match_all(
    patterns: Sequence[Pattern], mechanisms: Mechanisms,
    *, like: Mapping[str, str | Tier] | None = None,
) -> list[Match]:  # fmt: skip
    """Return the matches of several patterns; see ``match``."""
    posterior = mechanisms.posterior
    if posterior.statistics.lags:
        raise BadInput(
            expected="mechanisms within a period", found=f"{posterior.statistics.lags} lags"
        )
    names = posterior.names
    weights = direct_weights(mechanisms, names)
    total = np.linalg.inv(np.eye(len(names)) - weights).astype(np.float64)
    column: dict[str, int] = {}
    for index, name in enumerate(names):
        stands_for = (like or {}).get(name, name)
        if isinstance(stands_for, str):
            column.setdefault(stands_for, index)
    return [_matched(pattern, names, (weights, total), column) for pattern in patterns]


def _matched(
    pattern: Pattern, names: Sequence[str], effects: tuple[Floats, Floats],
    column: Mapping[str, int],
) -> Match:  # fmt: skip
    """Return the match of one pattern, from direct and total effects of every draw."""
    weights, total = effects
    seen, unseen = [], []
    holds = np.ones(len(total), np.bool_)
    for step in pattern.path:
        if step.cause not in column or step.effect not in column:
            unseen.append(step)
            continue
        at = (slice(None), column[step.cause], column[step.effect])
        right = total[at] * step.sign > 0.0
        holds &= right
        direct = float((weights[at] != 0.0).mean())
        variables = (names[at[1]], names[at[2]])
        mean = float(total[at].mean())
        seen.append(StepMatch(step, variables, float(right.mean()), mean, direct))
    share = float(holds.mean()) if seen else float("nan")
    return Match(pattern, share, tuple(seen), tuple(unseen))


def pattern_of(name: str) -> Pattern:
    """Return a pattern by name.

    Raises:
        NotFound: If there is none.
    """
    if name not in PATTERNS:
        message = f"expected a pattern among {', '.join(PATTERNS)}, found {name!r}"
        raise NotFound(message)
    return PATTERNS[name]
