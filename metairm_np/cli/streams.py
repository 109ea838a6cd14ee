"""Standard output and error that may be closed, full or of another encoding: no command ends so."""

import os
import sys
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress


class Forgiving:
    """A text stream that keeps its first error instead of raising it, and is silent from then on.

    What the encoding lacks is written as "?".

    Parameters
    ----------
    stream : text stream or None
        None, as Python has it for one that was closed from the start, is silent.
    """

    def __init__(self, stream):
        self.stream, self.error = stream, None
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")

    def write(self, text):
        """Write text, if that is still possible."""
        self._try("write", text)
        return len(text)

    def flush(self):
        """Flush the stream, if that is still possible."""
        self._try("flush")

    def isatty(self):
        """Return whether somebody looks."""
        return self.stream is not None and self.error is None and self.stream.isatty()

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def _try(self, method, *arguments):
        if self.stream is None or self.error is not None:
            return
        try:
            getattr(self.stream, method)(*arguments)
        except (OSError, ValueError) as error:  # the latter if it was closed
            self.error = error
            # or Python would try again, and complain, when it ends
            with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())


@contextmanager
def forgiving():
    """Within, sys.stdout and sys.stderr are `Forgiving`; yield the former."""
    occupy_standard_files()
    with ExitStack() as stack:
        out = stack.enter_context(redirect_stdout(Forgiving(sys.stdout)))
        err = stack.enter_context(redirect_stderr(Forgiving(sys.stderr)))
        try:
            yield out
        finally:
            out.flush()
            err.flush()


def occupy_standard_files():
    """Open what was closed of files 0 to 2, lest a file of ours becomes standard output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
