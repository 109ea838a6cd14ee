"""What `import metairm_np` gives: the public names, and nothing that takes long."""

import subprocess
import sys

import pytest

import metairm_np
from metairm_np import training


def test_dir_has_the_public_names_alone():
    names = ["Environment", "Settings", "__version__", "fast", "init_mlp", "spec", "train"]
    assert dir(metairm_np) == names == metairm_np.__all__
    assert metairm_np.train is training.train and metairm_np.Settings is training.Settings
    with pytest.raises(AttributeError, match="module 'metairm_np' has no attribute 'learn'"):
        metairm_np.learn  # noqa: B018


def test_the_package_is_imported_without_what_it_may_not_need():
    code = (
        "import sys, metairm_np\n"
        "late = {'scipy', 'matplotlib', 'sklearn', 'metairm_np.training'}\n"
        "print(late & set(sys.modules)); metairm_np.train; print(late & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n{'metairm_np.training'}\n"


def test_the_estimator_without_scikit_learn_is_one_sentence(monkeypatch):
    monkeypatch.delitem(vars(metairm_np), "estimator", raising=False)
    monkeypatch.delitem(sys.modules, "metairm_np.estimator", raising=False)
    for name in ("sklearn", "sklearn.base"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError) as caught:
        from metairm_np import estimator  # noqa: F401
    assert str(caught.value) == (
        "metairm_np.estimator needs scikit-learn 1.6 or newer: pip install 'metairm-np[estimator]'"
    )
