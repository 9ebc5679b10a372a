"""Texts by their words: BM25 of SQLite's FTS5, in the file or, if that is encrypted, in memory."""

from __future__ import annotations

import re
import sqlite3
import threading
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np

from cellhive.adapters.embedded.schema import ROW_BITS
from cellhive.core.records import Rows
from cellhive.core.types import Floats32

_WORD = re.compile(r"[^\W_]+")
MOST_WORDS: Final = 64
"""Different words of a question that count; more are left out."""
_FIND = (
    "SELECT rowid, bm25(keywords) FROM keywords WHERE keywords MATCH ? "
    "AND rowid BETWEEN ? AND ? ORDER BY bm25(keywords), rowid LIMIT ?"
)
_IN_MEMORY = (
    "CREATE VIRTUAL TABLE keywords USING fts5(text, tokenize='unicode61 remove_diacritics 2')"
)


def question(text: str) -> str:
    """Return a question for any of the words of a text, in the language of FTS5; "" for none.

    Every word is quoted: whatever a user types is never taken for syntax.
    """
    words = dict.fromkeys(_WORD.findall(unicodedata.normalize("NFC", text)))
    return " OR ".join(f'"{word}"' for word in list(words)[:MOST_WORDS])


def find(
    connection: sqlite3.Connection, namespace: int, text: str, limit: int
) -> tuple[Rows, Floats32]:
    """Return the rows of a namespace that have any of the words, best first, and their scores."""
    asked, start = question(text), namespace << ROW_BITS
    found: list[tuple[int, float]] = []
    if asked and limit > 0:
        span = (start, start + (1 << ROW_BITS) - 1)
        found = connection.execute(_FIND, (asked, *span, limit)).fetchall()
    rows = np.fromiter((row - start for row, _ in found), np.int64, len(found))
    return rows, np.fromiter((-score for _, score in found), np.float32, len(found))


def forget(connection: sqlite3.Connection, texts: Iterable[tuple[int, str]]) -> None:
    """Take texts, as they were entered, out of the index in the file."""
    connection.executemany(
        "INSERT INTO keywords (keywords, rowid, text) VALUES ('delete', ?, ?)", texts
    )


def enter(connection: sqlite3.Connection, texts: Iterable[tuple[int, str]]) -> None:
    """Put texts into the index in the file, by the key of their row."""
    connection.executemany("INSERT INTO keywords (rowid, text) VALUES (?, ?)", texts)


class WordsInMemory:
    """An index of words that never touches the disk; it is brought up to date before each use.

    It takes about twice the size of the texts in memory.
    """

    def __init__(self, changed: Callable[[int], tuple[int, Iterable[tuple[Any, ...]]]]) -> None:
        """Begin empty.

        Args:
            changed: Returns the number of the last change and, for each row that changed after
                a change number, its key and its text, "" where there is none.
        """
        self._changed = changed
        self._last = 0
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        self._connection.execute(_IN_MEMORY)

    def find(self, namespace: int, text: str, limit: int) -> tuple[Rows, Floats32]:
        """Return the rows of a namespace that have any of the words, best first, with scores."""
        with self._lock:
            self.catch_up()
            return find(self._connection, namespace, text, limit)

    def catch_up(self) -> None:
        """Take in what was written since the last time, by whatever process."""
        last, rows = self._changed(self._last)
        for key, text in rows:
            self._connection.execute("DELETE FROM keywords WHERE rowid=?", (key,))
            if text:
                self._connection.execute(
                    "INSERT INTO keywords (rowid, text) VALUES (?, ?)", (key, text)
                )
        self._last = last

    def close(self) -> None:
        """Let go of the memory."""
        with self._lock:
            self._connection.close()
