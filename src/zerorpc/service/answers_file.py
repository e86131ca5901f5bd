"""Idempotency keys in an SQLite database, so that they survive a restart and hold across processes.

One process runs a key, and renews its lease on it as long as that goes on. If the process dies, the lease ends, and
from then on the key's answer is that nobody knows what became of it: it is never run a second time.
"""

from __future__ import annotations

import secrets
import sqlite3
import time

from zerorpc.service.idempotency import Claim, Claimed, Key
from zerorpc.settings import Answers

__all__ = ["LEASE", "AnswersInFile"]

LEASE = 10.0  # s; a loop that is busy for so long serves nobody. Renewed three times in it
_BUSY_MAX = 5.0  # s that a transaction of another process is waited for; ours take a millisecond
_PAUSE = 0.01  # s between two tries to set the database up
_LOOK_EVERY = 64  # answers until it is looked whether there are too many: it takes a scan

_RUNNING, _ANSWERED, _GONE, _DIED = range(4)
_CLAIMS = {_RUNNING: Claim.BUSY, _ANSWERED: Claim.ANSWERED, _GONE: Claim.GONE, _DIED: Claim.DIED}

# The column ``key`` has no type: a text and the same octets are different keys. ``at`` is when the lease of what runs
# ends, and when anything else ended, in seconds since 1970: processes and restarts share no other clock.
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    method TEXT NOT NULL, key NOT NULL, digest BLOB NOT NULL, state INTEGER NOT NULL, answer BLOB, at REAL NOT NULL,
    owner TEXT NOT NULL, PRIMARY KEY (method, key)
);
CREATE INDEX IF NOT EXISTS by_age ON answers (state, at);
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class AnswersInFile:
    """As ``AnswersInMemory``; each call is a transaction. Not thread-safe, and not for use across a fork.

    ``now`` is in seconds since 1970. Raises sqlite3.Error where the file can't be used.
    """

    def __init__(self, settings: Answers) -> None:
        assert settings.path is not None
        self._settings = settings
        self._owner = secrets.token_hex(8)
        self._until_look = _LOOK_EVERY
        self._database = sqlite3.connect(
            settings.path, timeout=_BUSY_MAX, isolation_level=None, check_same_thread=False
        )
        self.id: str = self._set_up()

    def _set_up(self) -> str:
        """The database's own id. Another process may do the same now, and SQLite doesn't wait for every lock."""
        until = time.monotonic() + _BUSY_MAX
        while True:
            try:
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = FULL")  # an answer that was sent is on the disk
                self._database.executescript(_TABLES)
                self._database.execute("INSERT OR IGNORE INTO about VALUES ('id', ?)", (secrets.token_hex(8),))
                return str(self._database.execute("SELECT value FROM about WHERE name = 'id'").fetchone()[0])
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)

    def claim(self, key: Key, digest: bytes, now: float) -> Claimed:
        """While another process keeps the database locked, since it was stopped in a transaction, all keys are busy."""
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                return self._claim(key, digest, now)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # the rest of it says what kind of busy
                raise
            return Claimed(Claim.BUSY)

    def _claim(self, key: Key, digest: bytes, now: float) -> Claimed:
        find = "SELECT state, at, digest, answer FROM answers WHERE method = ? AND key = ?"
        found = self._database.execute(find, key).fetchone()
        if found is None or (found[0] != _RUNNING and found[1] <= now - self._settings.seconds):
            self._database.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, NULL, ?, ?)",
                (*key, digest, _RUNNING, now + LEASE, self._owner),
            )
            return Claimed(Claim.RUN)
        state, at, known, answer = found
        if known != digest:
            return Claimed(Claim.OTHER)
        if state == _RUNNING and at < now:
            self._database.execute(
                "UPDATE answers SET state = ?, at = ? WHERE method = ? AND key = ?", (_DIED, now, *key)
            )
            state = _DIED
        return Claimed(_CLAIMS[state], answer if state == _ANSWERED else None)

    def answered(self, key: Key, answer: bytes, now: float) -> None:
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute(
                "UPDATE answers SET state = ?, answer = ?, at = ? WHERE method = ? AND key = ? AND owner = ?",
                (_ANSWERED, answer, now, *key, self._owner),
            )
            self._until_look -= 1
            if self._until_look <= 0 or len(answer) > self._settings.octets // _LOOK_EVERY:
                self._until_look = _LOOK_EVERY
                self._forget(now)

    def free(self, key: Key) -> None:
        self._database.execute(
            "DELETE FROM answers WHERE method = ? AND key = ? AND owner = ? AND state = ?",
            (*key, self._owner, _RUNNING),
        )

    def renew(self, now: float) -> None:
        """What this process runs goes on."""
        self._database.execute(
            "UPDATE answers SET at = ? WHERE owner = ? AND state = ?", (now + LEASE, self._owner, _RUNNING)
        )

    def _forget(self, now: float) -> None:
        """What is too old, and the oldest of what is too much."""
        execute, settings = self._database.execute, self._settings
        execute("DELETE FROM answers WHERE state != ? AND at <= ?", (_RUNNING, now - settings.seconds))
        oldest = "SELECT rowid FROM answers WHERE state != ? ORDER BY at DESC LIMIT -1 OFFSET ?"
        execute(f"DELETE FROM answers WHERE rowid IN ({oldest})", (_RUNNING, settings.keys))
        held = "SELECT rowid AS row, sum(length(answer)) OVER (ORDER BY at DESC, rowid) AS held FROM answers"
        beyond = f"SELECT row FROM ({held} WHERE state = ?) WHERE held > ?"
        execute(
            f"UPDATE answers SET state = ?, answer = NULL WHERE rowid IN ({beyond})",
            (_GONE, _ANSWERED, settings.octets),
        )

    def close(self) -> None:
        self._database.close()

    def __repr__(self) -> str:
        return f"<AnswersInFile {self._settings.path}>"
