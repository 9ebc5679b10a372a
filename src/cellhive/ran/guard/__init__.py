"""The guard: every change passes here, and every refusal says why."""

from cellhive.ran.guard.check import Guard, check
from cellhive.ran.guard.state import GuardState, Limits, Made, record

__all__ = ["Guard", "GuardState", "Limits", "Made", "check", "record"]
