"""What the inner step adds to the effect of the colour, image by image, where theta is invariant.

    python -m metairm_np.run cmnist --algorithms meta_irm --trials 3 --save-params
    python tools/inner_step_effect.py runs/cmnist-HASH

docs/dynamics.md has the argument: theta leaves to the inner step on environment i what that step
supplies, D(x) = c* - S_i(x), where D(x) is the effect of repainting image x at theta, S_i(x) how
much more of it theta'_i has, and c* the effect that suits the environments. If that holds image by
image, D and S_i have the correlation -1 and D falls by 1 where S_i grows by 1. If the spread of D
has another reason, neither is so.
"""

import argparse
from pathlib import Path

import numpy as np

from metairm_np import fast
from metairm_np.analysis import effect_of_repainting
from metairm_np.reports.figures import Results
from metairm_np.reports.tables import markdown
from metairm_np.sweeps import Contents, Folder
from metairm_np.training.settings import hyper_at

ALGORITHM = "meta_irm"


def line_through(x, y):
    """Return the correlation of x and y and the slope of y over x (least squares)."""
    return float(np.corrcoef(x, y)[0, 1]), float(np.polyfit(x, y, 1)[0])


def compare(params, envs, images, inner_lr, inner_l2):
    """Return D, (n,), and S_i, (E, n), of the images of a painted environment of two colours."""
    D = effect_of_repainting(params, images)[0][0]
    adapted = [fast.adapt(params, env, inner_lr, inner_l2=inner_l2) for env in envs]
    return D, np.array([effect_of_repainting(theta, images)[0][0] - D for theta in adapted])


def rows_of(contents, folder, n_images):
    """Yield the table's cells for each trial and environment."""
    results = Results(contents.study, folder.summaries(contents), folder)
    experiment = contents.study.cases[""]
    settings = experiment.algorithms[ALGORITHM].settings
    for record in results.records:
        if record["algorithm"] != ALGORITHM:
            continue
        params, data = folder.params(record["name"]), results.data(record)
        hyper, _ = hyper_at(settings, record["step"], len(data.train))
        images = data.test(experiment.table_p[-1]).take(np.arange(n_images))
        D, S = compare(params, data.train, images, hyper["inner_lr"], hyper.get("inner_l2", 0.0))
        for env, supplied in zip(data.train, S):
            correlation, slope = line_through(supplied, D)
            kappa = supplied.std() / abs(supplied.mean())
            numbers = (D.mean(), D.std(), supplied.mean(), supplied.std(), kappa)
            cells = [f"{x:.2f}" for x in (*numbers, correlation, slope)]
            yield [str(record["trial"]), str(record["step"]), f"{env.p_e:g}", *cells]


HEAD = ["trial", "step", "i: p_e", "mean D", "spread", "mean S_i", "spread"]
HEAD += ["spread / mean", "correlation", "slope of D over S_i"]

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="a run folder of cmnist with stored parameters")
    parser.add_argument("--images", type=int, default=1000, help="how many test images")
    args = parser.parse_args()
    contents = Contents.read(args.folder)
    print(markdown(HEAD, list(rows_of(contents, Folder(args.folder), args.images))))
