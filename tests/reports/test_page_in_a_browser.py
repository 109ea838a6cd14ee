"""The page as a browser shows and prints it: nothing is cut, what is wide scrolls, dark is dark."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from small_sweeps import OPTIONS

from metairm_np.cli import main

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
P_E = [round(0.1 * n, 1) for n in range(1, 10)]
MEASURE = """<script>
const seen = (one) => getComputedStyle(one).display != "none";
const wide = [...document.querySelectorAll(".wide")];
parent.postMessage(JSON.stringify({
  page: document.documentElement.scrollWidth <= innerWidth,
  scroll: wide.every((one) => one.scrollWidth > one.clientWidth),
  hints: [...document.querySelectorAll(".hint")].filter(seen).length == wide.length,
  width: innerWidth}), "*");
</script>"""
FRAME = """<!doctype html><title></title>
<script>onmessage = (event) => { document.title = event.data; };</script>
<iframe src="measured.html" style="border: 0; width: 390px; height: 900px"></iframe>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH"),
]


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """Return the page of a run with as many columns as there are p_e."""
    out = tmp_path_factory.mktemp("browser")
    line = ["cmnist", *OPTIONS, "--set", f"table={P_E}", "--algorithms", "erm,meta_irm"]
    assert main([*line, "--trials", "2", "--out", str(out)]) == 0
    assert main(["report", str(out)]) == 0
    return out / "report.html"


@pytest.fixture
def browser(tmp_path):
    """Return a function that runs Chromium without a screen, and returns what it writes."""

    def run(page, *options):
        safe = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        command = [CHROMIUM, *safe, f"--user-data-dir={tmp_path / 'profile'}", *options]
        done = subprocess.run(
            [*command, page.as_uri()], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="needs pdftotext, of poppler-utils")
def test_a_print_has_every_column_and_what_is_folded(html, browser, tmp_path):
    pdf = tmp_path / "page.pdf"
    browser(html, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    command = ["pdftotext", "-layout", str(pdf), "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    head = next(line for line in text.splitlines() if line.split()[:3] == ["p_e", "=", "p_e"])
    assert head.count("p_e") == len(P_E)
    values = re.findall(r"0\.\d", text[text.index(head) :])
    assert values[: len(P_E)] == [str(p_e) for p_e in P_E]
    assert "erm, trial 1: completed 30 steps" in text
    assert "numpy" in text


def test_on_a_narrow_screen_what_is_wide_scrolls_and_says_so(html, browser, tmp_path):
    measured = tmp_path / "measured.html"
    measured.write_text(html.read_text().replace("</body>", f"{MEASURE}</body>"))
    frame = tmp_path / "frame.html"  # no window is so narrow
    frame.write_text(FRAME)
    dom = browser(frame, "--virtual-time-budget=5000", "--dump-dom")
    found = re.search(r"<title>(.*?)</title>", dom)[1]
    assert found == '{"page":true,"scroll":true,"hints":true,"width":390}'


def test_in_dark_mode_page_and_figures_are_dark(html, browser, tmp_path):
    shot = tmp_path / "dark.png"
    size = "--window-size=1000,1600"
    browser(html, size, "--blink-settings=preferredColorScheme=0", f"--screenshot={shot}")
    dark = np.asarray(Image.open(shot).convert("L"))
    browser(html, size, "--blink-settings=preferredColorScheme=1", f"--screenshot={shot}")
    light = np.asarray(Image.open(shot).convert("L"))
    for rows in np.split(dark, 16):  # also those of the figure
        assert np.median(rows) < 40
    assert np.mean(dark > 200) < 0.1
    assert np.median(light) > 250
