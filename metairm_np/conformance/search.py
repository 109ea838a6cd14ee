"""Which known mistakes, one or a few at once, answer everything as a backend does.

A choice is a mistake with its variant or its number; the copy of the spec with the edits of all
choices is a backend. It explains another one if it answers every question of the stages in which
anything differs as that one does, rightly or wrongly.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from metairm_np.conformance.evidence import (
    LEFT,
    ROOM,
    apart,
    mistaken_answer,
    mistaken_value,
)
from metairm_np.conformance.mistakes import MISTAKES, Mistake, changed_spec
from metairm_np.conformance.stages import STAGES, TRAJECTORIES

AT_ONCE = 3  # mistakes
TRIED = 2  # of the mistakes that explain some, how many are joined with another one
PROBES = 5  # outcomes on which every mistake is tried
ALIKE = {  # stages in which the same mistakes show, mostly
    "logits": "risk",
    "gradient": "risk",
    "erm": "risk",
    "irmv1_penalties": "irmv1",
    "adapt": "meta_losses",
    "sigma": "meta_irm",
    "meta_irm_first_order": "meta_irm",
}
ROUNDS = 8  # in which a number is fitted
META = {"meta_losses", "sigma", "meta_irm_first_order", "meta_irm_without_sigma", "meta_irm"}
SHOWN = {  # by the catalogue's module, the stages in which its mistakes can show, if not in all
    "irmv1": {"irmv1_penalties", "irmv1", "v_rex"},
    "rex": {"v_rex", "mm_rex"},
    "way_back": META | {"adapt"},
    "inner_steps": META | {"adapt"},
    "noise": META | {"adapt"},
    "pairs": META,
    "sigma": META,
    "optimizers": set(TRAJECTORIES),
    "training": set(TRAJECTORIES),
}


@dataclass(frozen=True)
class Choice:
    """A mistake with one of its variants, or its number."""

    mistake: Mistake
    value: object = None

    @property
    def edit(self):
        """The edit of a copy of the spec."""
        m = self.mistake
        return m.edit_at(self.value) if m.variants else m.edit

    @property
    def number(self):
        """The number as text, or ""."""
        return f"{self.mistake.number} = {self.value:.6g}" if self.mistake.number else ""

    def can_show(self, stage):
        """Return whether it can, in this stage."""
        module = self.mistake.edit.__module__.rpartition(".")[2]
        return stage in SHOWN.get(module, STAGES.keys() - TRAJECTORIES)


@cache
def choices():
    """Return all choices of the catalogue, numbers at their typical values."""
    return [Choice(m, v) for m in MISTAKES.values() for v in m.variants or (None,)]


@lru_cache(maxsize=2000)
def spec_with(*chosen):
    """Return the copy of the spec with the mistakes in it."""
    return changed_spec(*(choice.edit for choice in chosen))


def explanations(evidence, wrong):
    """Return all choices that explain what is wrong, lists of one to three, the simplest ones.

    Answers that could not be used, such as errors, need not be explained.
    """
    wrong = sorted((o for o in wrong if o.answer is not None), key=lambda o: priority(evidence, o))
    if not wrong:
        return []
    search = Search(evidence, wrong)
    layer = [()]
    for _ in range(AT_ONCE):
        found, partly = search.extended(layer)
        if found:
            return simplest(found)
        layer = partly[:TRIED]
    return []


def priority(evidence, outcome):
    """Return the key by which outcomes are looked at: clearly wrong ones first, by stage and cost.

    Trajectories come last.
    """
    stages = list(STAGES)
    clear = outcome.largest > 100 * outcome.allowed
    late = outcome.stage in TRAJECTORIES
    return late, not clear, stages.index(outcome.stage), evidence.cost(outcome)


def simplest(found):
    """Return the explanations without a number, if there are any, each set of mistakes once."""
    plain = [chosen for chosen in found if not any(c.mistake.number for c in chosen)]
    once = {frozenset(c.mistake for c in chosen): chosen for chosen in plain or found}
    return list(once.values())


class Search:
    """A search for explanations of what is wrong."""

    def __init__(self, evidence, wrong):
        self.evidence, self.wrong = evidence, wrong
        stages = {o.stage for o in wrong}
        if stages & {*TRAJECTORIES}:
            stages |= {*TRAJECTORIES}  # the same loop takes the steps of all optimizers
        right = [o for o in evidence.outcomes if o.ok and o.stage in stages]
        self.right = sorted(right, key=lambda o: priority(evidence, o))

    def extended(self, layer):
        """Return the explanations that add a mistake to those in `layer`, and the partial ones.

        Numbers are fitted, which is expensive, where no mistake without a number explains all.
        """
        partly, reached = {}, {}
        for numbered in (False, True):
            for chosen in layer:
                for k, probe in enumerate(self.probes(chosen)[: reached.get(chosen)]):
                    added = self.candidates(chosen, probe, numbered)
                    longer = [(*chosen, choice) for choice in added]
                    found = [one for one in longer if self.all_explained(one)]
                    if found:
                        return found, []
                    least = self.explained(chosen) if chosen else -1  # a value alone may be, too
                    partly |= {one: n for one in longer if (n := self.explained(one)) > least}
                    if longer:
                        reached[chosen] = k + 1
                        break
        best = sorted(partly, key=partly.get, reverse=True)
        return [], [one for one in best[: 2 * TRIED] if not self.contradicted(one)]

    def probes(self, chosen):
        """Return a few outcomes that the chosen mistakes do not explain, in different stages."""
        if chosen:
            return [o for o in self.wrong if not self.fits(chosen, o)][:1]
        groups: dict = {}
        for o in self.wrong:
            if o.stage not in TRAJECTORIES or all(stage in TRAJECTORIES for stage in groups):
                groups.setdefault(ALIKE.get(o.stage, o.stage), o)
        return list(groups.values())[:PROBES]

    def candidates(self, chosen, probe, numbered):
        """Return the choices that, with those made, answer the probe as the backend does.

        For the first choice it is enough that they give its value. They are those with a number, or
        those without.
        """
        found = []
        alone = not chosen or not self.shows(chosen, probe)
        before = () if alone else chosen
        valued = probe.differences.get("value", 0) > 100 * probe.allowed
        for choice in choices():
            if bool(choice.mistake.number) != numbered or not choice.can_show(probe.stage):
                continue
            if numbered:
                seen = self.may_show(choice, probe)
                choice = self.fitted(before, choice, probe) if seen else None
            if choice is None or choice in found or choice in chosen:
                continue
            whole = (*before, choice)
            value_suffices = not chosen and valued and not numbered
            if self.value_fits(whole, probe) and (value_suffices or self.fits(whole, probe)):
                found.append(choice)
        return found

    def fits(self, chosen, outcome):
        """Return whether the spec with the mistakes answers as the backend does."""
        return self.evidence.fits(spec_with(*chosen), outcome)

    def value_fits(self, chosen, outcome):
        """Return whether the objective's value does not speak against the mistakes."""
        return self.evidence.value_fits(spec_with(*chosen), outcome)

    def may_show(self, choice, outcome):
        """Return whether a mistake with a number alone may be seen in an outcome.

        It has to be seen in the value where the backend is wrong in the value, and nowhere else.
        """
        if "value" not in outcome.differences:
            return self.shows((choice,), outcome)
        solved, stage = self.evidence.solved(outcome), outcome.stage
        answer = mistaken_value(spec_with(choice), solved, stage)
        own = {"value": solved.scales[stage]["value"]}
        shown = answer is None or apart(answer, solved.answers[stage], own) > outcome.allowed
        return shown == (not outcome.differences["value"] <= outcome.allowed)

    def shows(self, chosen, outcome):
        """Return whether the spec with the mistakes does not answer rightly."""
        return self.evidence.shows(spec_with(*chosen), outcome)

    def all_explained(self, chosen):
        """Return whether the spec with the mistakes answers all as the backend does."""
        few = len(self.wrong) < 2 and self.wrong[0].stage not in TRAJECTORIES
        if few and any(c.mistake.number for c in chosen):
            return False  # a number can be fitted to any one answer
        return all(self.fits(chosen, o) for o in self.wrong) and not self.contradicted(chosen)

    def contradicted(self, chosen):
        """Return whether the mistakes would show where the backend is right."""
        return any(self.shows(chosen, o) for o in self.right)

    def explained(self, chosen):
        """Return how many of a few wrong outcomes the mistakes explain."""
        cheap = [o for o in self.wrong if o.stage not in TRAJECTORIES] or self.wrong
        return sum(self.fits(chosen, o) for o in cheap[:: len(cheap) // 12 + 1])

    def fitted(self, chosen, choice, outcome):
        """Return the choice with the number at which it answers as the backend, or None.

        The number is found by Gauss-Newton steps with a difference for the derivative, until it
        comes no nearer.
        """
        solved, stage = self.evidence.solved(outcome), outcome.stage
        scale, enough = solved.scales[stage], ROOM * outcome.allowed
        if outcome.answer.keys() != scale.keys():
            return None
        answer = mistaken_answer
        if outcome.differences.get("value", 0) > 100 * outcome.allowed:  # that is cheap, and enough
            scale, answer = {"value": scale["value"]}, mistaken_value

        def left(value):
            edits = [c.edit for c in chosen] + [choice.mistake.edit_at(value)]
            parts = answer.__wrapped__(changed_spec(*edits), solved, stage)  # is kept nowhere
            if parts is None or any(parts[k].shape != outcome.answer[k].shape for k in scale):
                return np.array([np.nan])
            return np.concatenate(
                [np.ravel((outcome.answer[k] - parts[k]) / (s or 1.0)) for k, s in scale.items()]
            )

        value, best, size = float(choice.value), None, np.inf
        with np.errstate(all="ignore"):
            for _ in range(ROUNDS):
                r = left(value)
                if not np.abs(r).max() < 0.9 * size:  # NaN, or no progress
                    break
                best, size = value, np.abs(r).max()
                step = 1e-4 * abs(value)
                slope = (r - left(value + step)) / step
                if size <= enough or not slope @ slope > 0:
                    break
                value = value + float(slope @ r / (slope @ slope))
            if best is None or size > max(enough, LEFT * outcome.largest):
                return None
            for digits in (1, 2, 3, 4):
                short = float(f"{best:.{digits}g}")
                if np.abs(left(short)).max() <= max(enough, 2 * size):
                    return Choice(choice.mistake, short)
        return Choice(choice.mistake, best)
