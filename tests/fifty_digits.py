"""Meta-IRM and its baselines to fifty digits, from the equations alone, to certify the vectors.

Equations 1 to 6 are those of Bae, Choi and Lee, "Meta-Learned Invariant Risk Minimization", 2021
(arXiv:2103.12947); V-REx and MM-REx are those of Krueger et al., 2021. Where the paper leaves a
choice, the conventions are:

- f_theta: x W + b and max(0, .) layer by layer, no max after the last; one output stands for the
  two logits (0, f).
- R^e: the mean over the samples of -log softmax(f)_y.
- Eq. 1, 2: sums over the environments, not means; in Eq. 2, w is one number that multiplies all
  logits.
- V-REx: the population variance of the risks.
- Eq. 4: all j != i, unless the case lists its pairs or asks for j = i, in lexicographic order.
- Eq. 5: the population standard deviation of all meta-losses, not a sum over environments.
- L2: l2 ||theta||^2, biases included, once per objective; inner_l2 ||theta||^2 in the inner steps
  alone.
- DropGrad: multiplies the inner gradient, that of inner_l2 included, entry by entry.

There is no differentiation rule in here: each derivative, also one within another, is the central
difference D F = (F(theta + h) - F(theta - h)) / 2h with h = 2^-90 = 8e-28, in numbers of 120
digits. What this costs:

- Truncation: D F = F' + h^2/6 F''' + ..., so a gradient, and theta' with it, is off by
  h^2/6 = 1e-55 third derivatives. That error is as smooth as F: differencing it again leaves it at
  1e-55 fourth derivatives.
- Rounding: 1e-120 / h = 1e-93 in a derivative, 1e-120 / h^2 = 1e-66 in one of values that hold
  derivatives, as in IRMv1, H v and meta-IRM; more inner steps add to the 1e-93 of theta' but do not
  divide it by h again.

So more than 50 digits are right; a test halves h and sees no change in them. Central differences
see both sides of a kink: at 0 they would give the ReLU the slope 1/2, where the convention is 0, so
a case with hidden units exactly at 0 cannot be certified. sigma has a kink at 0, too, and MM-REx's
maximum where risks tie. But equal environments tie and have sigma = 0 at every theta, which makes
both smooth in theta; by the meta-losses, sigma's two sides cancel to the convention's 0.

The equations use nothing of the package. `python tests/fifty_digits.py` prints how many digits of
the golden vectors are certain.
"""

import itertools
from functools import cache

import mpmath
import numpy as np

from metairm_np.conformance import vectors

mp = mpmath.mp.clone()  # whose precision is our own
mp.dps = 120
H = mp.mpf(2) ** -90

CASES = (  # smooth at and around theta, and small
    "binary_linear",
    "binary_1_layer",
    "classes_3_linear",
    "one_sample",
    "three_inner_steps",
    "sampled_pairs",
    "unbalanced_pairs",
    "same_environment",
    "l2",
    "inner_l2",
    "noise",
    "noise_2_inner_steps",
    "sigma_zero",
    "zero_logits",
    "saturated",
    "two_outputs",
    "inner_lr_zero",
    "six_inner_steps",
    "decimal",
    "three_equal",
    "sigma_zero_large_weight",
    "huge_logits",
    "huge_logits_classes",
    "steps_of_irmv1",
    "steps_of_mm_rex",
    "200_steps",
)
STEPS = {"binary_linear": 10, "200_steps": 3}  # how many of a trajectory are followed, else 1


def numbers(array):
    """Return the entries of an array as a flat tuple, without rounding."""
    return tuple(mp.mpf(value) for value in np.ravel(array).tolist())


def flat(params):
    """Return a list of (W, b) as one tuple: W0 row by row, b0, W1, ..."""
    return tuple(value for pair in params for part in pair for value in numbers(part))


class Equations:
    """The equations for one case. Points theta are tuples, as `flat` gives them."""

    def __init__(self, case, h=H):
        self.case, self.h, self.theta = case, h, flat(case.params)
        self.sizes = [case.params[0][0].shape[0], *(len(b) for _, b in case.params)]
        self.data = [[(numbers(x), int(y)) for x, y in zip(env.x, env.y)] for env in case.envs]
        self.E, meta = len(case.envs), case.meta
        self.alpha, self.std_weight = mp.mpf(meta["inner_lr"]), mp.mpf(meta["std_weight"])
        self.noise = [[flat(step) for step in steps] for steps in meta.get("gradient_noise", [])]
        same = case.meta.get("same_env", False)
        every = [(i, j) for i in range(self.E) for j in range(self.E) if (i == j) == same]
        self.pairs = case.meta.get("pairs", every)
        for function in ("risk", "adapted", "meta_losses"):
            setattr(self, function, cache(getattr(self, function)))

    # ---- derivatives -----------------------------------------------------------------------------

    def slope(self, F, w):
        """dF/dw, w a number."""
        return (F(w + self.h) - F(w - self.h)) / (2 * self.h)

    def grad(self, F, theta):
        """dF/dtheta, entry by entry."""
        return [
            self.slope(lambda p, k=k: F((*theta[:k], p, *theta[k + 1 :])), theta[k])
            for k in range(len(theta))
        ]

    # ---- the risk --------------------------------------------------------------------------------

    def logits(self, theta, x):
        """f_theta(x) of one sample."""
        inputs, at = x, 0
        for n, m in itertools.pairwise(self.sizes):
            b = at + n * m  # W is theta[at:b], its column k every m-th entry from k
            outputs = [mp.fdot(theta[at + k : b : m], inputs) + theta[b + k] for k in range(m)]
            inputs, at = [max(mp.zero, output) for output in outputs], b + m
        return outputs

    def risk(self, theta, e, w=1):
        """R^e(w f_theta), the mean of -log softmax(w f)_y = log sum_c exp(w (f_c - f_y)).

        The sum of the logs is the log of the product.
        """
        terms = []
        for x, y in self.data[e]:
            f = self.logits(theta, x)
            f = f if len(f) > 1 else [mp.zero, *f]
            terms.append(mp.fsum(mp.exp(w * (f_c - f[y])) for f_c in f))
        return mp.log(mp.fprod(terms)) / len(terms)

    def risks(self, theta):
        """R^e for each e."""
        return [self.risk(theta, e) for e in range(self.E)]

    def hessian_vector_product(self, theta, e, v):
        """H v, the change of the gradient along v."""
        up, down = (
            self.grad(lambda q: self.risk(q, e), tuple(p + s * d for p, d in zip(theta, v)))
            for s in (self.h, -self.h)
        )
        return [(u - d) / (2 * self.h) for u, d in zip(up, down)]

    # ---- the baselines ---------------------------------------------------------------------------

    def erm(self, theta):
        """Eq. 1: sum_e R^e."""
        return mp.fsum(self.risks(theta))

    def penalty(self, theta, e):
        """Eq. 2: (d/dw R^e(w f_theta) at w = 1)^2."""
        return self.slope(lambda w: self.risk(theta, e, w), mp.one) ** 2

    def irmv1(self, theta):
        """Eq. 2: sum_e R^e + penalty_weight sum_e penalty^e."""
        return self.erm(theta) + mp.mpf(self.case.penalty_weight) * mp.fsum(
            self.penalty(theta, e) for e in range(self.E)
        )

    def v_rex(self, theta):
        """V-REx: sum_e R^e + penalty_weight Var_e R^e."""
        return self.erm(theta) + mp.mpf(self.case.penalty_weight) * variance(self.risks(theta))

    def mm_rex(self, theta):
        """MM-REx: (1 - E lambda_min) max_e R^e + lambda_min sum_e R^e."""
        low = mp.mpf(self.case.lambda_min)
        return (1 - self.E * low) * max(self.risks(theta)) + low * self.erm(theta)

    # ---- meta-IRM --------------------------------------------------------------------------------

    def adapted(self, theta, i, steps):
        """Eq. 3: theta'_i = theta - alpha grad R_i(theta), `steps` times."""
        if steps == 0:
            return theta
        theta, inner_l2 = (
            self.adapted(theta, i, steps - 1),
            mp.mpf(self.case.meta.get("inner_l2", 0)),
        )
        gradient = self.grad(lambda q: self.risk(q, i) + inner_l2 * squared_norm(q), theta)
        noise = self.noise[i][steps - 1] if self.noise else [1] * len(theta)
        return tuple(p - self.alpha * m * g for p, m, g in zip(theta, noise, gradient))

    @property
    def inner_steps(self):
        """The number of inner steps."""
        return self.case.meta.get("inner_steps", 1)

    def meta_losses(self, theta):
        """Eq. 4: R_j(theta'_i)."""
        return tuple(self.risk(self.adapted(theta, i, self.inner_steps), j) for i, j in self.pairs)

    def braces(self, L, std_weight):
        """Eq. 6: sum_ij R_j(theta'_i) + lambda sigma."""
        return mp.fsum(L) + std_weight * sigma(L)

    def meta_irm(self, theta):
        """Eq. 6."""
        return self.braces(self.meta_losses(theta), self.std_weight)

    def meta_irm_without_sigma(self, theta):
        """Eq. 6 with lambda = 0."""
        return self.braces(self.meta_losses(theta), 0)

    def meta_irm_first_order(self, theta):
        """Eq. 6 with constant inner gradients: theta'_i - theta as at the case's own theta."""
        shifted = {
            i: moved(theta, self.theta, self.adapted(self.theta, i, self.inner_steps))
            for i, _ in self.pairs
        }
        return self.braces([self.risk(shifted[i], j) for i, j in self.pairs], self.std_weight)

    # ---- the optimizers --------------------------------------------------------------------------

    def with_l2(self, objective):
        """Return objective + l2 ||theta||^2."""
        return lambda theta: objective(theta) + mp.mpf(self.case.l2) * squared_norm(theta)

    def path(self, change):
        """Take the first steps of the case's objective, theta <- theta + change(gradient)."""
        theta, changes, objective = self.theta, [], getattr(self, self.case.objective)
        for _ in range(STEPS.get(self.case.name, 1)):
            changes.append(change(self.grad(self.with_l2(objective), theta)))
            theta = tuple(p + c for p, c in zip(theta, changes[-1]))
        return changes

    def sgd(self, lr, momentum):
        """-lr v with v <- momentum v + g."""
        v = [mp.zero] * len(self.theta)

        def change(gradient):
            v[:] = [mp.mpf(momentum) * old + g for old, g in zip(v, gradient)]
            return [-mp.mpf(lr) * new for new in v]

        return self.path(change)

    def adam(self, lr, beta1, beta2, epsilon):
        """-lr m^ / (sqrt(v^) + epsilon), m^ and v^ means of g and g^2 with the weights beta^age."""
        past = []

        def mean(beta, values):
            weights = [mp.mpf(beta) ** age for age in reversed(range(len(values)))]
            return mp.fdot(weights, values) / mp.fsum(weights)

        def step(history):
            m, v = mean(beta1, history), mean(beta2, [g * g for g in history])
            return -mp.mpf(lr) * m / (mp.sqrt(v) + mp.mpf(epsilon))

        def change(gradient):
            past.append(gradient)
            return [step(history) for history in zip(*past)]

        return self.path(change)

    # ---- the answers -----------------------------------------------------------------------------

    def named(self, values, before=""):
        """Return the parts of a flat tuple by their names, W0, b0, W1, ..."""
        rest = iter(values)
        sizes = [
            (f"{letter}{l}", part.size)
            for l, pair in enumerate(self.case.params)
            for letter, part in zip("Wb", pair)
        ]
        return {before + name: tuple(itertools.islice(rest, size)) for name, size in sizes}

    def value_and_grad(self, objective):
        """Return an objective, l2 included, and its gradient."""
        objective = self.with_l2(objective)
        return {"value": [objective(self.theta)], **self.named(self.grad(objective, self.theta))}

    def answers(self):
        """Return all stages of the golden vectors: {stage: {name: flat array}}."""
        theta, envs, v = self.theta, range(self.E), flat(self.case.vector)
        found = {
            "logits": {
                f"env{e}": [f for x, _ in self.data[e] for f in self.logits(theta, x)] for e in envs
            },
            "risk": {f"env{e}": [self.risk(theta, e)] for e in envs},
            "gradient": joined(
                self.named(self.grad(lambda q, e=e: self.risk(q, e), theta), f"env{e}_")
                for e in envs
            ),
            "hessian_vector_product": joined(
                self.named(self.hessian_vector_product(theta, e, v), f"env{e}_") for e in envs
            ),
            "adapt": joined(
                self.named(self.adapted(theta, i, t), f"env{i}_step{t}_")
                for i in envs
                for t in range(1, self.inner_steps + 1)
            ),
            "meta_losses": {"meta_losses": self.meta_losses(theta)},
            "irmv1_penalties": {f"env{e}": [self.penalty(theta, e)] for e in envs},
            "sigma": {
                "sigma": [sigma(self.meta_losses(theta))],
                "w": self.grad(lambda L: self.braces(L, self.std_weight), self.meta_losses(theta)),
            },
        }
        for name in (
            "erm",
            "irmv1",
            "v_rex",
            "mm_rex",
            "meta_irm_first_order",
            "meta_irm_without_sigma",
            "meta_irm",
        ):
            found[name] = self.value_and_grad(getattr(self, name))
        for rule in self.case.optimizers:
            given = {key: value for key, value in rule.items() if key != "name"}
            steps = [self.named(change) for change in getattr(self, rule["name"])(**given)]
            found[rule["name"]] = {
                key: [value for step in steps for value in step[key]] for key in steps[0]
            }
        return found


def squared_norm(theta):
    """||theta||^2."""
    return mp.fdot(theta, theta)


def variance(values):
    """Var, the population variance."""
    mean = mp.fsum(values) / len(values)
    return mp.fsum((value - mean) ** 2 for value in values) / len(values)


def sigma(L):
    """Eq. 5: the population standard deviation."""
    return mp.sqrt(variance(L))


def moved(theta, start, end):
    """Return theta + (end - start)."""
    return tuple(p + (b - a) for p, a, b in zip(theta, start, end))


def joined(parts):
    """Return one dict of several."""
    return {key: value for part in parts for key, value in part.items()}


# ---- what is certain -----------------------------------------------------------------------------


def digits(golden, exact, scale):
    """Return how many digits of `golden` are certain: -log10 of the largest difference / scale."""
    if not np.isfinite(golden).all():
        return -np.inf
    largest = max(abs(g - x) for g, x in zip(numbers(golden), exact, strict=True))
    if not largest:
        return np.inf
    return float(mp.log10(scale) - mp.log10(largest)) if scale else -np.inf


def certain(solved, exact):
    """Return {stage: {name: certain digits}} of a golden case, `exact` being its answers here."""
    steps = STEPS.get(solved.case.name, 1)
    return {
        stage: {
            name: digits(
                part[:steps] if stage in ("sgd", "adam") else part,
                exact[stage][name],
                solved.scales[stage][name],
            )
            for name, part in parts.items()
        }
        for stage, parts in solved.answers.items()
    }


if __name__ == "__main__":
    for name in CASES:
        solved = vectors.load()[name]
        found = certain(solved, Equations(solved.case).answers())
        print(name, *(f"{stage} {min(parts.values()):.1f}" for stage, parts in found.items()))
