"""The handover machine of the twin, run over recorded levels instead of a simulated network."""

from cellhive.ran.trace.log import DriveLog, DriveTest, LogEvent, Stretch
from cellhive.ran.trace.replay import (
    Event,
    Kind,
    Label,
    Replayed,
    ReplaySettings,
    joined_levels,
    replay_rsrp,
)

__all__ = [
    "DriveLog",
    "DriveTest",
    "Event",
    "Kind",
    "Label",
    "LogEvent",
    "ReplaySettings",
    "Replayed",
    "Stretch",
    "joined_levels",
    "replay_rsrp",
]
