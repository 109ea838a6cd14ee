"""Output that nobody reads, that does not fit or that is no UTF-8 costs nobody a sweep."""

import io
import os
import subprocess
import sys

import pytest
from small_sweeps import OPTIONS

from metairm_np.cli.streams import Forgiving

SWEEP = [sys.executable, "-m", "metairm_np.run", "cmnist", *OPTIONS, "--algorithms", "erm"]
needs_shell = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


def shell(line, cwd, **environment):
    """Run a line of sh in which "$@" is a sweep; its trial and report must be there at the end."""
    done = subprocess.run(
        ["sh", "-c", line, "sh", *SWEEP],
        cwd=cwd,
        capture_output=True,
        env={**os.environ, **environment},
        timeout=120,
    )
    (folder,) = (cwd / "runs").iterdir()
    assert [path.name for path in (folder / "trials").iterdir()] == ["erm-000.json"]
    assert "±" in (folder / "report.md").read_text(encoding="utf-8")
    assert (folder / "accuracy.svg").is_file()
    return done


@needs_shell
@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        ('"$@" | head -c 1', 0, b""),
        ('("$@"; echo $? >&2) | true', 0, b"0\n"),
        ('"$@" 2>&-', 0, b""),
        ('"$@" >&-', 0, b""),
        ('"$@" <&- >&- 2>&-', 0, b""),
        pytest.param(
            '"$@" > /dev/full',
            1,
            b"error: cannot write to standard output ([Errno 28] No space left on device)\n",
            marks=pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full"),
        ),
    ],
)
def test_a_broken_output_stops_no_sweep_and_blames_no_folder(tmp_path, line, code, error):
    done = shell(line, tmp_path)
    assert (done.returncode, done.stderr) == (code, error)


@needs_shell
def test_output_that_is_no_utf_8_has_question_marks_for_what_it_lacks(tmp_path):
    done = shell('"$@"', tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"16.4 ? 0.8" in done.stdout


def test_the_first_error_is_kept_and_the_rest_is_silence():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    stream = Forgiving(Full())
    for _ in range(2):
        print("text", file=stream, flush=True)
    assert stream.error.errno == 28
    closed = io.StringIO()
    closed.close()
    stream = Forgiving(closed)
    print("text", file=stream)
    assert isinstance(stream.error, ValueError)
    assert not stream.isatty()
    print("text", file=Forgiving(None), flush=True)
