"""What settings refuse before anything is trained."""

import pytest
from problems import HYPER

from metairm_np.training import HoldRule, Settings

FOR_META = {"objective": "meta_irm", "hyper": HYPER["meta_irm"]}


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"objective": "irm"}, ValueError, "unknown objective 'irm'; did you mean 'irmv1'"),
        ({"hyper": {"inner_lr": 1}}, TypeError, "erm takes no keyword 'inner_lr'"),
        ({"objective": "v_rex"}, TypeError, "v_rex: missing a required argument: 'penalty_weight'"),
        ({"optimizer": "adm"}, ValueError, "unknown optimizer 'adm'; did you mean 'adam'"),
        ({"init": "zero"}, ValueError, "unknown init 'zero'"),
        ({"hidden": 256}, TypeError, r"hidden is 256; give a list of widths such as \[256\]"),
        ({"hidden": [0]}, ValueError, "a width in hidden is 0"),
        ({"lr": -1}, ValueError, "lr is -1"),
        ({"steps": 2.5}, TypeError, "steps is 2.5; give a whole number"),
        ({**FOR_META, "dropgrad": 1.0}, ValueError, "dropgrad is 1.0"),
        ({"dropgrad": 0.1}, ValueError, "inner_l2 are for meta_irm, the objective is 'erm'"),
        ({"inner_l2": True}, ValueError, "inner_l2 are for meta_irm, the objective is 'erm'"),
        (
            {**FOR_META, "hyper": {**HYPER["meta_irm"], "same_env": True}, "sample_pairs": True},
            ValueError,
            "leave one of them out",
        ),
        ({"inner_lr_warmup": 9}, ValueError, "are for meta_irm, the objective is 'erm'"),
        ({**FOR_META, "inner_lr_warmup": -1}, ValueError, "inner_lr_warmup is -1; give a whole"),
        ({"inner_lr_hold": HoldRule(0.1, 0.1)}, ValueError, "meta_irm, the objective is 'erm'"),
        ({"early_stopping": 3}, TypeError, "early_stopping is 3; give a StoppingRule, or None"),
        ({**FOR_META, "inner_lr_hold": {}}, TypeError, "inner_lr_hold is {}; give a HoldRule, or"),
        ({"anneal_steps": 5}, ValueError, "'erm' has none; leave them out"),
        ({"greyscale": "no"}, TypeError, "greyscale is 'no'; give True or False"),
        ({**FOR_META, "inner_l2": 0.1}, TypeError, "inner_l2 is 0.1; give True or False"),
    ],
)
def test_refused(options, kind, message):
    with pytest.raises(kind, match=message):
        Settings(**{"objective": "erm", **options})
