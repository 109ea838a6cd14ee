"""Where the held-out mistakes are entered, as backends by name."""

from metairm_np.conformance.mistakes import changed_spec

EDITS = {}


def held_out(name):
    """Enter the decorated edit of a copy of the spec."""

    def enter(edit):
        EDITS[name] = edit
        return edit

    return enter


def backend(name):
    """Return the backend with a held-out mistake."""
    return changed_spec(EDITS[name])
