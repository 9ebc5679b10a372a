"""The words vendors use in KPI names, and which of our quantities they make up."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SPLIT = re.compile(r"[^A-Za-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_PHRASES = (
    (re.compile(r"e[-_ ]?rab", re.IGNORECASE), " erab "),
    (re.compile(r"ping[-_ ]?pong", re.IGNORECASE), " pingpong "),
    (re.compile(r"hand[-_ ]?(over|off)s?", re.IGNORECASE), " handover "),
    (re.compile(r"radio[-_ ]link[-_ ]fail\w*", re.IGNORECASE), " rlf "),
    (re.compile(r"re[-_ ]?estab\w*", re.IGNORECASE), " reestablish "),
    (re.compile(r"down[-_ ]?link", re.IGNORECASE), " dl "),
    (re.compile(r"up[-_ ]?link", re.IGNORECASE), " ul "),
    (re.compile(r"through[-_ ]?put", re.IGNORECASE), " throughput "),
    (re.compile(r"set[-_ ]?up", re.IGNORECASE), " setup "),
    (re.compile(r"phys\w*[-_ ]resource[-_ ]block", re.IGNORECASE), " prb "),
    (re.compile(r"too[-_ ]late", re.IGNORECASE), " toolate "),
    (re.compile(r"too[-_ ]early", re.IGNORECASE), " tooearly "),
    (re.compile(r"wrong[-_ ]cell", re.IGNORECASE), " wrongcell "),
    (re.compile(r"packet[-_ ]?switch\w*", re.IGNORECASE), " ps "),
)

_SYNONYMS = {
    "ho": "handover", "hosr": "handover success rate", "hofr": "handover fail rate",
    "sr": "success rate", "succ": "success", "successful": "success", "successes": "success",
    "ssr": "success rate", "cssr": "call setup success rate", "rssr": "rrc setup success rate",
    "fail": "fail", "failure": "fail", "failures": "fail", "failed": "fail", "fails": "fail",
    "att": "attempt", "attempts": "attempt", "request": "attempt", "requests": "attempt",
    "req": "attempt", "estab": "setup", "establishment": "setup", "establish": "setup",
    "stp": "setup",
    "connected": "connection", "conn": "connection", "connections": "connection",
    "est": "setup", "util": "utilisation", "utilization": "utilisation", "usage": "utilisation",
    "use": "utilisation", "used": "used", "load": "utilisation", "occupancy": "utilisation",
    "prbs": "prb", "rb": "prb", "rbs": "prb",
    "thp": "throughput", "thr": "throughput", "thrp": "throughput", "thput": "throughput",
    "tput": "throughput", "thpt": "throughput", "bitrate": "throughput", "brate": "throughput",
    "users": "user", "ue": "user", "ues": "user", "subscriber": "user", "subscribers": "user",
    "avg": "mean", "average": "mean", "maximum": "max", "peak": "max", "minimum": "min",
    "no": "number", "num": "number", "count": "number", "nbr": "number", "nof": "number",
    "vol": "volume", "payload": "volume", "data": "data", "traffic": "volume",
    "drops": "drop", "dropped": "drop", "dcr": "drop rate", "cdr": "drop rate",
    "ratio": "rate", "percentage": "rate", "percent": "rate", "pct": "rate", "probability": "rate",
    "avail": "available", "availability": "availability", "lat": "latitude", "lon": "longitude",
    "long": "longitude", "lng": "longitude", "ids": "id", "identity": "id", "identifier": "id",
    "latency": "delay", "energy": "energy", "consumption": "energy", "radio": "radio",
    "rlfs": "rlf", "failovers": "handover", "utilised": "used", "utilized": "used",
    "downlink": "dl", "uplink": "ul", "tot": "total", "prep": "preparation",
    "exec": "execution", "exe": "execution", "out": "outgoing", "in": "incoming",
    "interruptions": "interruption", "reest": "reestablish", "abnormal": "abnormal",
    "abnormally": "abnormal", "sinr": "sinr", "snr": "sinr", "pingpongs": "pingpong",
}  # fmt: skip


def _forms(*texts: str) -> frozenset[str]:
    return frozenset(word for text in texts for word in text.split())


_FILLERS = _forms(
    "of the per in at for and to a cell lte nr 4g 5g enodeb gnodeb enb gnb eutran utran e fdd tdd "
    "gb mb kb mbps kbps gbps mbit kbit gbit km db dbm ms hz kpi total all times bytes byte mac "
    "pdcp rlc ip g s m n x on"
)

HIGHER = _forms(
    "success throughput availability cqi mcs rsrp rsrq sinr efficiency integrity retainability "
    "accessibility rank volume speed mos satisfied"
)
"""Words of KPIs of which more is better."""
LOWER = _forms(
    "drop fail bler error errors loss lost delay jitter rlf pingpong interference abnormal blocked "
    "blocking congestion retransmission retransmissions reestablish outage interruption toolate "
    "tooearly wrongcell reject rejected rejects unavailable unavailability timeout discard "
    "discarded rtwp exc"
)
"""Words of KPIs of which less is better; they outweigh ``HIGHER``."""
SHARES = _forms("utilisation availability bler")
"""Words of values that are shares, whether or not "rate" is written."""
RATIO_WORDS = _forms("rate")
"""Words that say that a value is a ratio."""
COUNTS = _forms(
    "number attempt success fail drop volume pingpong rlf handover errors pkts packets samples "
    "events times reestablish seizures toolate tooearly wrongcell procs setup cnt"
)
"""Words of values that count."""
LEVELS = _forms(
    "mean max min median p5 p50 p95 users user cqi mcs rsrp rsrq rssi sinr level qual quality "
    "throughput delay power distance ta timing interference available temperature buffer loss prb"
)
"""Words of values that are levels."""
ATTRIBUTES = _forms(
    "id latitude longitude azimuth height altitude band tac lac pci psc earfcn arfcn nrarfcn mcc "
    "mnc imsi imei rnti frequency sector plmn eci cgi ecgi ncgi x y tilt bearing accuracy node "
    "cellid enodebid operator operatorname"
)
"""Words of numbers that describe an object."""


IDENTITIES = _forms(
    "id tac lac pci psc earfcn arfcn nrarfcn mcc mnc imsi imei rnti plmn eci cgi ecgi ncgi node "
    "cellid enodebid band operator operatorname"
)
"""Words of numbers that only name something; they are kept as text."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which words make up a quantity."""

    quantity: str
    """Name in ``core.schema``."""
    needs: tuple[frozenset[str], ...]
    """One word of each group must occur."""
    likes: frozenset[str] = frozenset()
    """Words that make the guess surer, and whose absence makes it less sure."""
    forbids: frozenset[str] = frozenset()
    base: float = 0.95
    """Confidence when every word is explained."""


_NOT_UL = _forms("ul")
_RATE = _forms("rate")
_OTHER_FAILS = _forms("fail drop attempt number")
_OTHER_HANDOVERS = _forms("incoming soft softer irat rat srvcc csfb geran utran wcdma gsm")
_CAUSES = _forms("mo mt mod mos mta emergency emc highpri delaytol volte csfb sig signalling")
_CHANNELS = _forms("pusch pucch srs rach preamble")

RULES = (
    Rule("prb_utilisation_ratio", (_forms("prb"), _forms("utilisation rate")),
         _forms("dl used"), _forms("ul available number max distr success fail setup drop")),
    Rule("RRU.PrbAvailDl", (_forms("prb"), _forms("available")), _forms("dl bandwidth"),
         _NOT_UL | _RATE),
    Rule("RRU.PrbUsedDl", (_forms("prb"), _forms("used"), _forms("number mean")), _forms("dl"),
         _NOT_UL | _RATE | _forms("utilisation")),
    Rule("ue_throughput_mbps", (_forms("throughput speed"), _forms("user")), _forms("dl mean"),
         _NOT_UL | _forms("volume max min p5 edge number time distr")),
    Rule("ue_throughput_p5_mbps", (_forms("throughput"), _forms("p5 edge 5")), _forms("dl user"),
         _NOT_UL),
    Rule("DRB.PdcpSduVolumeDL", (_forms("volume"), _forms("dl")), _forms("data ps sdu"),
         _NOT_UL | _RATE | _forms("user voice volte throughput")),
    Rule("RRC.ConnMean", (_forms("rrc"), _forms("user connection"), _forms("mean")),
         _forms("number user"), _forms("success fail attempt max setup drop") | _RATE),
    Rule("RRC.ConnMax", (_forms("rrc"), _forms("user connection"), _forms("max")),
         _forms("number user"), _forms("success fail attempt mean setup drop") | _RATE),
    Rule("DRB.MeanActiveUeDl", (_forms("active"), _forms("user"), _forms("mean number")),
         _forms("dl mean"), _NOT_UL | _forms("max") | _RATE),
    Rule("RRC.ConnEstabAtt", (_forms("rrc"), _forms("attempt")), _forms("setup"),
         _forms("success fail reestablish") | _CAUSES | _RATE),
    Rule("RRC.ConnEstabSucc", (_forms("rrc"), _forms("success")), _forms("setup number"),
         _RATE | _CAUSES | _forms("fail reestablish"), base=0.9),
    Rule("RRC.ReEstabAtt", (_forms("reestablish"), _forms("attempt")), _forms("rrc"),
         _forms("success fail") | _CAUSES | _RATE),
    Rule("rrc_setup_success_ratio", (_forms("rrc"), _forms("success"), _RATE),
         _forms("setup connection"), _OTHER_FAILS | _forms("reestablish erab")),
    Rule("handover_success_ratio", (_forms("handover"), _forms("success"), _RATE),
         _forms("outgoing execution"), _OTHER_FAILS | _OTHER_HANDOVERS | _forms("preparation")),
    Rule("handover_failure_ratio", (_forms("handover"), _forms("fail"), _RATE),
         _forms("outgoing execution"),
         _OTHER_HANDOVERS | _forms("success drop attempt number preparation")),
    Rule("ping_pong_ratio", (_forms("pingpong"), _RATE), _forms("handover"), _forms("number")),
    Rule("x.HoPingPong", (_forms("pingpong"),), _forms("handover number"), _RATE),
    Rule("MM.HoPrepInterReq", (_forms("handover"), _forms("attempt"), _forms("preparation")),
         _forms("outgoing"), _RATE | _forms("success fail incoming")),
    Rule("MM.HoExeInterReq", (_forms("handover"), _forms("attempt")),
         _forms("outgoing execution"), _RATE | _forms("success fail incoming preparation"),
         base=0.9),
    Rule("MM.HoExeInterSucc", (_forms("handover"), _forms("success")),
         _forms("outgoing execution number"), _RATE | _forms("attempt fail incoming preparation"),
         base=0.9),
    Rule("MM.HoExeInterFail", (_forms("handover"), _forms("fail")),
         _forms("outgoing execution number"),
         _forms("attempt success incoming preparation rate"), base=0.9),
    Rule("HO.IntraSys.TooLate", (_forms("toolate"),), _forms("handover"), _RATE),
    Rule("HO.IntraSys.TooEarly", (_forms("tooearly"),), _forms("handover"), _RATE),
    Rule("HO.IntraSys.ToWrongCell", (_forms("wrongcell"),), _forms("handover"), _RATE),
    Rule("x.RadioLinkFailure", (_forms("rlf"),), _forms("number"), _RATE | _forms("scg")),
    Rule("sinr_mean_db", (_forms("sinr"),), _forms("mean dl"),
         _NOT_UL | _RATE | _CHANNELS | _forms("min max distr"), base=0.9),
    Rule("rsrp_mean_dbm", (_forms("rsrp"),), _forms("mean dl"),
         _NOT_UL | _RATE | _CHANNELS | _forms("1 2 3 min max distr"), base=0.9),
    Rule("PEE.Energy", (_forms("energy"),), _forms("kwh number"),
         _RATE | _forms("efficiency mean"), base=0.9),
    Rule("PEE.AvgPower", (_forms("power"), _forms("mean")), _forms("w input pee"),
         _forms("tx transmit ul rx received interference dl noise max headroom")),
    Rule("energy_efficiency_bit_per_j", (_forms("energy"), _forms("efficiency"))),
)  # fmt: skip
"""How names are recognised; the best fitting rule wins."""

COUNTER = re.compile(r"^(pm[A-Z]|PM[A-Z]{4}|(L|N|VS|CM|R)\.[A-Z0-9])")
"""Names of vendors' counters: each further word in them is a subset of what is counted."""
COUNTER_WORDS = _forms("pm l n vs ebs none sum connection ch meas mean attempt setup")
"""Words in such names that narrow nothing."""
COUNTERS: dict[str, tuple[str, str]] = {
    "pmPdcpVolDlDrb": ("DRB.PdcpSduVolumeDL", "kbit"),
    "L.Thrp.bits.DL": ("DRB.PdcpSduVolumeDL", "bit"),
    "N.ThpVol.DL": ("DRB.PdcpSduVolumeDL", "kbit"),
    "L.Traffic.User.Avg": ("RRC.ConnMean", ""),
    "L.Traffic.User.Max": ("RRC.ConnMax", ""),
    "N.User.RRCConn.Avg": ("RRC.ConnMean", ""),
    "N.User.RRCConn.Max": ("RRC.ConnMax", ""),
    "pmRrcConnMax": ("RRC.ConnMax", ""),
    "M8001C200": ("RRC.ConnMax", ""),
}
"""Counters whose words do not say what they are, or in which unit: quantity and unit."""

UNIT_SCALES: dict[tuple[str, str], float] = {
    ("%", "ratio"): 0.01,
    ("‰", "ratio"): 0.001,
    ("%", "%"): 1.0,
    ("GB", "Mbit"): 8000.0,
    ("TB", "Mbit"): 8.0e6,
    ("MB", "Mbit"): 8.0,
    ("kB", "Mbit"): 0.008,
    ("B", "Mbit"): 8.0e-6,
    ("Gbit", "Mbit"): 1000.0,
    ("kbit", "Mbit"): 0.001,
    ("bit", "Mbit"): 1.0e-6,
    ("kbit/s", "Mbit/s"): 0.001,
    ("Gbit/s", "Mbit/s"): 1000.0,
    ("bit/s", "Mbit/s"): 1.0e-6,
    ("Mbit/s", "kbit/s"): 1000.0,
    ("Wh", "kWh"): 0.001,
    ("kW", "W"): 1000.0,
}
"""Factor from the first unit to the second."""


def words_of(header: str) -> frozenset[str]:
    """Return the words of a heading in one spelling: "ERAB_SR" is erab, success, rate."""
    text = header.replace("\N{NO-BREAK SPACE}", " ").replace("%", " rate ")
    for pattern, word in _PHRASES:
        text = pattern.sub(word, text)
    found: set[str] = set()
    for part in _SPLIT.split(_CAMEL.sub(" ", text)):
        word = part.lower()
        found.update(_SYNONYMS.get(word, word).split())
    found.discard("")
    if "latitude" in found and found & {"dl", "ul", "exc"}:  # "dl-lat" is a latency
        found = (found - {"latitude"}) | {"delay"}
    if len(found) > 1:
        found -= _FILLERS
    return frozenset(found)
