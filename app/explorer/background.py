"""Long computations of the explorer: outside the scripts of its sessions, once for all who wait, and to be cancelled.

Each runs in a worker process (`worker`), which can be killed at any moment; a thread could not, and would hold up the
other sessions. Workers are kept for the next computation, with what they have imported and loaded.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from multiprocessing.connection import Connection
from typing import Any

from lvm_probe import InputError

WORKERS = 2
"""Computations at once; others wait for their turn."""
MAX_RESULTS = 128
"""Results that are kept."""
FORGOTTEN_S = 90
"""A session that has not looked for so long no longer waits. Browsers let a hidden tab look once a minute."""


class Computation:
    """A computation that is waiting for its turn, running or done.

    Attributes:
        what: what is computed, for those who wait.
        share: how much is done, 0 to 1, as far as the function reports it.
        running: whether it has begun.
    """

    def __init__(self, what: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.what = what
        self.share = 0.0
        self.running = False
        self.call = (function, arguments)
        self.cancelled = False
        self.worker: Worker | None = None
        self._asked = time.monotonic()
        self._waiting: dict[str, float] = {}
        self._done = threading.Event()
        self._value: Any = None
        self._error: Exception | None = None

    @property
    def seconds(self) -> float:
        """Time since it was asked for."""
        return time.monotonic() - self._asked

    @property
    def awaited(self) -> bool:
        """Whether a session waits for it."""
        now = time.monotonic()
        return any(now - looked < FORGOTTEN_S for looked in list(self._waiting.values()))

    def look(self, session: str) -> None:
        """Note that a session waits for it."""
        self._waiting[session] = time.monotonic()

    def leave(self, session: str) -> None:
        """Note that a session no longer waits for it."""
        self._waiting.pop(session, None)

    def done(self, patience: float = 0) -> bool:
        """Whether it is done, after at most so many seconds."""
        return self._done.wait(patience)

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return self._error is not None

    def result(self) -> Any:
        """Its result, once it is done.

        Raises:
            InputError: and any other error of the function.
        """
        if self._error is not None:
            raise self._error
        return self._value

    def finish(self, value: Any = None, error: Exception | None = None) -> None:
        """Give it its outcome."""
        self.call = (str, ())  # frees the arguments
        self._value, self._error = value, error
        self._done.set()


class Worker:
    """A worker process and the connection to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "lvm_probe.app.explorer.worker", str(theirs.fileno())]
            # A session of its own, so that Ctrl-C does not reach it and its children are killed with it.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip
        self.connection = Connection(ours.detach())

    def kill(self) -> None:
        """End it at once, with the processes that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Background:
    """The computations of a server by their keys; the latest results are kept."""

    def __init__(self, workers: int = WORKERS, results: int = MAX_RESULTS) -> None:
        self._workers = workers
        self._results = results
        self._computations: OrderedDict[Hashable, Computation] = OrderedDict()
        self._idle: list[Worker] = []
        self._busy: list[Computation] = []
        self._changed = threading.Condition()
        atexit.register(self.clear)

    def get(self, key: Hashable) -> Computation | None:
        """The computation under this key, if there is one."""
        with self._changed:
            return self._computations.get(key)

    def start(self, key: Hashable, what: str, function: Callable[..., Any], *arguments: Any) -> Computation:
        """The computation under this key, started if there is none.

        Args:
            key: identifies function and arguments.
            what: what is computed, for those who wait.
            function: of a module that a worker can import; it is called with the arguments and `progress`, a function
                of the share that is done.
            arguments: anything that can be pickled.
        """
        with self._changed:
            found = self._computations.get(key)
            if found is not None:
                self._computations.move_to_end(key)
                return found
            computation = self._computations[key] = Computation(what, function, arguments)
            done = [old for old, one in self._computations.items() if one.done()]
            for old in done[: max(0, len(self._computations) - self._results)]:
                del self._computations[old]
        threading.Thread(target=self._run, args=(computation,), daemon=True).start()
        return computation

    def cancel(self, key: Hashable) -> None:
        """End the computation under this key, or forget its outcome."""
        with self._changed:
            computation = self._computations.pop(key, None)
            if computation is not None:
                self._end(computation)

    def leave(self, session: str) -> None:
        """A session no longer waits for anything."""
        with self._changed:
            for computation in self._computations.values():
                computation.leave(session)

    def clear(self) -> None:
        """End and forget everything."""
        with self._changed:
            for key in list(self._computations):
                self._end(self._computations.pop(key))
            while self._idle:
                self._idle.pop().kill()

    def _end(self, computation: Computation) -> None:
        computation.cancelled = True
        if computation.worker is not None:
            computation.worker.kill()
        self._changed.notify_all()

    def _run(self, computation: Computation) -> None:
        """Wait for a worker, and for its answer."""
        if not self._begin(computation):
            computation.finish(error=InputError(f"{computation.what}: cancelled"))
            return
        worker = None
        try:
            worker = self._worker(computation)
            worker.connection.send(computation.call)
            while (answer := worker.connection.recv())[0] == "progress":
                computation.share = answer[1]
        except (EOFError, OSError) as error:
            how = "cancelled" if computation.cancelled else f"its process ended, perhaps for lack of memory ({error})"
            answer, worker = ("error", InputError(f"{computation.what}: {how}")), None
        except Exception as error:
            answer = ("error", error)
            if worker is not None:
                worker.kill()
            worker = None
        with self._changed:
            computation.worker = None
            if worker is not None and not computation.cancelled:
                self._idle.append(worker)
            self._busy.remove(computation)
            self._changed.notify_all()
        kind, outcome = answer
        computation.finish(**{kind: outcome})

    def _begin(self, computation: Computation) -> bool:
        """Wait for a turn; a computation that nobody waits for makes room. False if this one is cancelled meanwhile."""
        with self._changed:
            while not computation.cancelled and len(self._busy) >= self._workers:
                abandoned = [key for key, one in self._computations.items() if one in self._busy and not one.awaited]
                if abandoned:
                    self.cancel(abandoned[0])
                self._changed.wait(timeout=1)
            if computation.cancelled:
                return False
            self._busy.append(computation)
            computation.running = True
            return True

    def _worker(self, computation: Computation) -> Worker:
        with self._changed:
            worker = self._idle.pop() if self._idle else Worker()
            computation.worker = worker
            if computation.cancelled:
                worker.kill()
            return worker
