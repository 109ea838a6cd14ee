"""Which trials are under way, in whatever process: locks by name, which end with their process."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # without such locks two commands may both run a trial, to the same result
    fcntl = None  # type: ignore[assignment]

POLL = 0.05  # seconds between two looks at a lock that another thread has


class Claims:
    """Claims to names, each the lock of one byte of a file, which stays empty.

    POSIX gives locks to processes: a second one of the same process succeeds, and closing the file
    anywhere in a process ends all that it has. So a process opens a file once, see `opened`, and
    keeps who has what itself.

    Parameters
    ----------
    file : file object
        Open for writing.
    """

    def __init__(self, file):
        self.file, self.users = file, 0
        self.held: dict[str, object] = {}  # this process's claims: the owner by name
        self.guard = threading.RLock()

    def claim(self, name: str, owner: object, wait: bool = False) -> bool:
        """Return whether `owner` has `name` now; with `wait` that takes as long as it takes."""
        while True:
            with self.guard:
                if self.held.get(name, owner) is owner and self._lock(name):
                    self.held[name] = owner
                    return True
            if not wait:
                return False
            time.sleep(POLL)

    def release(self, name: str, owner: object) -> None:
        """End the claim of `owner` to `name`, if there is one."""
        with self.guard:
            if self.held.get(name) is owner:
                del self.held[name]
                self._unlock(name)

    def release_all(self, owner: object) -> None:
        """End all claims of `owner`."""
        for name in [name for name, one in list(self.held.items()) if one is owner]:
            self.release(name, owner)

    def is_claimed(self, name: str) -> bool:
        """Return whether anybody has `name`."""
        with self.guard:
            if name in self.held:
                return True
            free = self._lock(name)
            if free:
                self._unlock(name)
            return not free

    def are_only(self, name: str) -> bool:
        """Return whether nobody has anything but `name`, which is ours."""
        with self.guard:
            if self.held.keys() != {name}:
                return False
            if fcntl is None:
                return True
            try:
                fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # all, as nobody has a part
            except (BlockingIOError, PermissionError):
                return False
            place = _byte(name)
            for start, length in ((0, place), (place + 1, 0)):  # 0 is up to the end
                if start or length:
                    fcntl.lockf(self.file, fcntl.LOCK_UN, length, start)
            return True

    def _lock(self, name):
        if fcntl is None:
            return True
        with suppress(BlockingIOError, PermissionError):
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte(name))
            return True
        return False

    def _unlock(self, name):
        if fcntl:
            fcntl.lockf(self.file, fcntl.LOCK_UN, 1, _byte(name))


_OPEN: dict[tuple, Claims] = {}  # by device and number of the file
_GUARD = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_OPEN.clear)  # a child has none of its parent's locks


@contextmanager
def opened(path: Path, create: bool = True) -> Iterator[Claims]:
    """Return this process's Claims in the file `path`, the same in all its threads.

    Raises
    ------
    OSError
        If the file cannot be opened for writing, is a symbolic link, or is missing and not to be
        made.
    """
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | (os.O_CREAT if create else 0)
    with _GUARD:
        try:
            about = os.lstat(path)
            claims = _OPEN.get((about.st_dev, about.st_ino))
        except FileNotFoundError:
            claims = None
        if claims is None:
            claims = Claims(os.fdopen(os.open(path, flags, 0o666), "r+b"))
            about = os.fstat(claims.file.fileno())
            _OPEN[about.st_dev, about.st_ino] = claims
        key = about.st_dev, about.st_ino
        claims.users += 1
    try:
        yield claims
    finally:
        with _GUARD:
            claims.users -= 1
            if not claims.users:
                _OPEN.pop(key, None)
                claims.file.close()


def _byte(name):
    """Return the place in the file that is locked for `name`."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big") % 2**55
