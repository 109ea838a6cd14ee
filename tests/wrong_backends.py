"""What the tests of the conformance suite share: a spec that is changed, and the command line."""

from metairm_np import spec
from metairm_np.conformance import Spec, __main__

FEW = ("binary_1_layer", "l2", "noise")
FEW_CASES = ("--cases", ",".join(FEW))


class Wrapped(Spec):
    """The spec, whose value_and_grad is changed by a test."""

    def __init__(self, change):
        self.change = change

    def value_and_grad(self, *args, **hyper):
        return self.change(spec.value_and_grad, *args, **hyper)


def run(capsys, *args):
    """Run the command line, and return its status, stdout and stderr."""
    try:
        status = __main__.main(list(args))
    except SystemExit as end:
        status = end.code
    return status, *capsys.readouterr()
