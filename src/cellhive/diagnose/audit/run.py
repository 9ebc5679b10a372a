"""All checks of a configuration, one after the other."""

from __future__ import annotations

from cellhive.core.measurements import Severity
from cellhive.diagnose.audit.configuration import Audit, Configuration
from cellhive.diagnose.audit.identities import identity_findings
from cellhive.diagnose.audit.relations import relation_findings
from cellhive.diagnose.audit.sectors import sector_findings
from cellhive.diagnose.audit.settings import setting_findings

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def audit(conf: Configuration) -> Audit:
    """Return everything in a configuration that should be looked at, the worst first."""
    findings, checks = [], []
    for look in (identity_findings, relation_findings, sector_findings, setting_findings):
        found, made = look(conf)
        findings += found
        checks += made
    findings.sort(key=lambda one: (_ORDER[one.severity], one.code, one.cells))
    return Audit(tuple(findings), tuple(checks))
