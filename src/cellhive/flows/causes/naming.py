"""What measured columns are like, where the registry does not know them: by words in their names.

Guesses, and told as such: they only say what may act on what within a period.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from cellhive.causal.motifs import TIERS, Tier
from cellhive.core.measurements import ColumnInfo

_WORDS: tuple[tuple[Tier, str], ...] = (
    (Tier.CONFIGURATION, r"e?tilt|cio|a3|hyst\w*|ttt|time to trigger|azimuth|"
                         r"(tx|transmit|max\w*) power|offset|available bandwidth"),
    (Tier.EXPERIENCE, r"throughput|thp|drop\w*|setup success|set up success|success rate|latency|"
                      r"delay|availability|energy|retain\w*|accessib\w*|integrity"),
    (Tier.MOBILITY, r"handover\w*|ho|ping pong|reestab\w*|rlf|radio link failure\w*"),
    (Tier.RADIO, r"rsrp|rsrq|rssi|sinr|snr|cqi|mcs|bler|interference|coverage|ta|timing advance|"
                 r"path ?loss|qpsk|qam|16qam|64qam|256qam"),
    (Tier.LOAD, r"prb|users?|ues?|traffic|volume|load|utili[sz]ation|erlang|connections?|"
                r"attempts?|payload"),
)  # fmt: skip
"""Words of headings, what is looked for first standing first; mobility before "success rate"
where the heading speaks of handovers, see ``tier_guess``."""


def tier_guess(heading: str) -> Tier | None:
    """Return the tier that the words of a heading speak for, or None.

    Args:
        heading: Of a column, in any vendor's words.
    """
    split = re.sub(r"([a-z])([A-Z])", r"\1 \2", heading)
    plain = re.sub(r"[^a-z0-9]+", " ", split.casefold()).strip()
    found = [tier for tier, words in _WORDS if re.search(rf"\b({words})\b", plain)]
    if Tier.MOBILITY in found and Tier.CONFIGURATION not in found:
        return Tier.MOBILITY  # the success rate of handovers
    return found[0] if found else None


def alike(names: Iterable[str], columns: Mapping[str, ColumnInfo]) -> dict[str, str]:
    """Return the quantity or tier that variables are like, as ``Told.like`` takes it.

    Args:
        names: Of variables, those of the registry need nothing.
        columns: What is known of the columns.
    """
    like: dict[str, str] = {}
    for name in names:
        if name in TIERS:
            continue
        info = columns.get(name)
        if info is not None and info.quantity in TIERS:
            like[name] = str(info.quantity)
            continue
        guess = tier_guess((info.header if info is not None else "") or name)
        if guess is not None:
            like[name] = guess.name.lower()
    return like
