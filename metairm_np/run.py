"""The command line, see `metairm_np.cli`; until it is imported Ctrl-C is a sentence, too."""

import os
import signal
import sys
from contextlib import contextmanager, suppress


def main():
    """Run this process's command line, and return the exit status."""
    with leaving_at_once():
        from metairm_np import cli
    return cli.main()


@contextmanager
def leaving_at_once():
    """Within, Ctrl-C ends the process with a sentence."""

    def leave(*_):  # not by KeyboardInterrupt, of which an import in C may make any error
        with suppress(OSError):
            os.write(2, b"\ninterrupted before anything began\n")
        os._exit(130)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # a job in the background
        yield
        return
    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main())
