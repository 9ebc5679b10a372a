"""Rule-based self-optimisation: the baseline that everything else must beat."""

from cellhive.ran.son.coverage import Coverage, CoverageSettings
from cellhive.ran.son.energy_saving import EnergySaving, EnergySavingSettings
from cellhive.ran.son.mlb import Mlb, MlbSettings
from cellhive.ran.son.mro import Mro, MroSettings
from cellhive.ran.son.rules import Rules, RuleSettings
from cellhive.ran.son.view import Proposal, SonFunction, View

__all__ = [
    "Coverage",
    "CoverageSettings",
    "EnergySaving",
    "EnergySavingSettings",
    "Mlb",
    "MlbSettings",
    "Mro",
    "MroSettings",
    "Proposal",
    "RuleSettings",
    "Rules",
    "SonFunction",
    "View",
]
