"""The tables that agentdb 1.x to 3.x writes, and what each becomes."""

from __future__ import annotations

from dataclasses import dataclass

from cellhive.core.records import RecordKind


@dataclass(frozen=True, slots=True)
class TableForm:
    """How the rows of one table become records."""

    name: str
    prefix: str
    """What comes before "/" and the row's id; empty where ids are the user's own words."""
    kind: RecordKind | None
    """None where the file does not say what its rows are."""
    time: str = ""
    """Column that says when."""
    milliseconds: bool = False
    """Whether the table's times are milliseconds and not seconds."""
    words: tuple[str, ...] = ()
    """Columns a row is found by."""
    embeddings: tuple[str, str] | None = None
    """Table of its embeddings and that table's key."""
    own_embedding: bool = False
    """Whether the embedding stands in the row itself."""


def _form(  # one per column of the list below
    name: str, prefix: str, kind: RecordKind | None, time: str, words: str, embeddings: str = ""
) -> TableForm:
    own = embeddings == "embedding"
    table, _, key = embeddings.partition(".")
    return TableForm(
        name, prefix, kind, time.removesuffix(" ms"), time.endswith(" ms"), tuple(words.split()),
        (table, key) if key else None, own,
    )  # fmt: skip


_K = RecordKind
FORMS = (
    _form("reasoning_patterns", "pattern", _K.PATTERN, "ts", "task_type approach",
          "pattern_embeddings.pattern_id"),
    _form("episodes", "episode", _K.OUTCOME, "ts", "task input output critique",
          "episode_embeddings.episode_id"),
    _form("skills", "skill", _K.PATTERN, "created_at", "name description",
          "skill_embeddings.skill_id"),
    _form("skill_links", "skill-link", _K.RESULT, "", "relationship"),
    _form("causal_edges", "causal-edge", _K.RESULT, "created_at", "mechanism"),
    _form("causal_experiments", "causal-experiment", _K.RESULT, "start_time", "name hypothesis"),
    _form("causal_observations", "causal-observation", _K.OUTCOME, "observed_at", ""),
    _form("facts", "fact", _K.RESULT, "created_at", "subject predicate object"),
    _form("notes", "note", _K.RESULT, "created_at", "title text summary",
          "note_embeddings.note_id"),
    _form("events", "event", _K.ACTION, "created_at", "content"),
    _form("consolidated_memories", "consolidated-memory", _K.PATTERN, "created_at", "summary"),
    _form("consolidation_runs", "consolidation-run", _K.RESULT, "started_at", ""),
    _form("exp_nodes", "experience-node", _K.RESULT, "created_at", "label",
          "exp_node_embeddings.node_id"),
    _form("exp_edges", "experience-edge", _K.RESULT, "created_at", "relationship"),
    _form("memory_scores", "memory-score", _K.RESULT, "computed_at", ""),
    _form("memory_access_log", "memory-access", _K.RESULT, "accessed_at", "query"),
    _form("recall_certificates", "certificate", _K.RESULT, "created_at", "query_text"),
    _form("provenance_sources", "provenance", _K.RESULT, "created_at", ""),
    _form("justification_paths", "justification", _K.RESULT, "", "reason"),
    _form("learning_sessions", "learning-session", _K.MODEL, "start_time ms", "session_type"),
    _form("learning_experiences", "learning-experience", _K.OUTCOME, "timestamp ms",
          "state action"),
    _form("learning_policies", "learning-policy", _K.MODEL, "created_at", ""),
    _form("learning_state_embeddings", "learning-state", _K.RESULT, "", "state", "embedding"),
    _form("vectors", "", None, "timestamp ms", "", "embedding"),
    _form("rvf_vectors", "", None, "created_at", "", "embedding"),
)  # fmt: skip
"""Every table whose rows are imported."""

PREFIXES = frozenset(form.prefix for form in FORMS if form.prefix)

EMBEDDING_TABLES = {form.embeddings[0]: form.name for form in FORMS if form.embeddings}
"""Tables of embeddings, which join the rows they belong to."""

NOT_RECORDS = {
    "hnsw_nodes": "part of the package's index; an index is built anew here",
    "hnsw_edges": "part of the package's index; an index is built anew here",
    "hnsw_metadata": "part of the package's index; an index is built anew here",
    "rvf_meta": "",
    "sqlite_sequence": "",
    "sqlite_stat1": "",
    "sqlite_stat4": "",
}
"""Tables that hold nothing to remember, and why; empty where that goes without saying."""

REFERENCES = {
    "episode": "episode", "skill": "skill", "note": "note", "fact": "fact", "event": "event",
    "pattern": "pattern", "reasoning_pattern": "pattern", "experiment": "causal-experiment",
}  # fmt: skip
"""What the package calls a record that it points to, and the prefix of its id here."""
