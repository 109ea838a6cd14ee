"""What a trial's record holds."""

import numpy as np
import pytest
from small_sweeps import SMALL

from metairm_np._seeds import child
from metairm_np.analysis import decomposition
from metairm_np.experiments.files import load
from metairm_np.sweeps.trial import run_trial


def test_a_record_says_what_the_logits_read_of_images_in_colour():
    experiment = load("cmnist", [*SMALL, "steps=3", "table=[0.1, 0.9]"])
    data = experiment.data(child(0, 1), "float32")
    record, params = run_trial(experiment, "erm", data, 0, 1)
    assert record["reading"] == decomposition(params, data.test(0.9))._asdict()
    assert record["history"][-1]["reading"] == record["reading"]
    assert "reading" not in record["history"][1]  # not a logged step
    assert np.isfinite([*record["reading"].values()]).all()
    grey, _ = run_trial(experiment, "erm_grey", data, 0, 1)
    assert "reading" not in grey and "reading" not in grey["history"][-1]


@pytest.mark.parametrize("n_classes", [2, 5])
def test_text_has_no_colour_and_more_classes_have(n_classes):
    if n_classes == 2:
        experiment = load("table6", ["hidden=[4]", "steps=1", "environment.source='synthetic'"])
    else:
        experiment = load("cmnist", [*SMALL, "steps=1", "n_classes=5"])
    record, _ = run_trial(experiment, "erm", experiment.data(0, "float32"), 0, 0)
    assert ("reading" in record) == (n_classes == 5)
