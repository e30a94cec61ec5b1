"""A process that runs long computations for the explorer: `python -m lvm_probe.app.explorer.worker HANDLE`.

The handle is that of a socket, on which the server sends one function and its arguments after the other. The answers
are `("progress", share)`, as often as the function reports, and then `("value", value)` or `("error", exception)`.
"""

from __future__ import annotations

import sys
import traceback
from multiprocessing.connection import Connection

from lvm_probe import InputError


def serve(connection: Connection) -> None:
    """Run functions until the server closes the connection."""

    def report(share: float) -> None:
        connection.send(("progress", share))

    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = ("value", function(*arguments, progress=report))
        except InputError as error:
            answer = ("error", error)
        except ConnectionError:
            return
        except Exception:
            answer = ("error", RuntimeError(traceback.format_exc()))
        try:
            connection.send(answer)
        except ConnectionError:
            return


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as opened:
        serve(opened)
