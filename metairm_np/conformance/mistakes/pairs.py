"""Known mistakes of the meta-losses, Eq. 4: which are evaluated, and where."""

import autograd.numpy as np

from metairm_np._autodiff import tree_map
from metairm_np.conformance.mistakes.catalogue import mistake, wrap
from metairm_np.conformance.mistakes.edits import braces, change_pairs, replace_adapted
from metairm_np.environments import Environment

# ---- theta'_i ------------------------------------------------------------------------------------


@mistake(
    "last environment's update used for all",
    "one buffer or one closure holds theta', and each inner step overwrites it before the "
    "meta-losses are computed",
    "keep a theta'_i for each environment",
)
def _(s):
    replace_adapted(s, lambda order, adapt: dict.fromkeys(order, adapt(order[-1])))


@mistake(
    "updates accumulate over environments",
    "the inner step changes theta in place, so that environment i + 1 starts from theta'_i",
    "start each environment's inner steps from theta",
    variants=("each its own", "all the last", "past the graph"),
)
def _(s, used):
    if used == "past the graph":
        overwrite(s)
        return

    def accumulated(order, adapt):
        adapted = {order[0]: adapt(order[0])}
        for before, i in zip(order, order[1:]):
            adapted[i] = adapt(i, adapted[before])
        return adapted if used == "each its own" else dict.fromkeys(order, adapted[order[-1]])

    replace_adapted(s, accumulated)


def overwrite(s):
    """Let inner steps write into theta past the graph, as param.data.copy_() does in PyTorch.

    Gradients at theta'_i then count as gradients at theta, and the way back through the layers
    reads the weights that were written last.
    """

    def accumulated(params, envs, *args, same_env=False, pairs=None, noise=None, **given):
        pairs = pairs or s.all_pairs(len(envs), same_env)
        now, adapted = tree_map(s.stop_gradient, params), {}
        for i in sorted({i for i, _ in pairs}):
            now = s.adapt(now, envs[i], *args, gradient_noise=noise and noise[i], **given)
            adapted[i] = now
        return pairs, adapted, now

    def risk(params, last, env):
        x = env.x
        for l, ((W, b), (V, _)) in enumerate(zip(params, last)):
            back = np.dot(x, V)  # of which only the derivative counts
            x = np.dot(s.stop_gradient(x), W) + b + back - s.stop_gradient(back)
            x = x * (x > 0) if l < len(params) - 1 else x
        return s.cross_entropy(x, env.y)

    def meta_losses(right, params, envs, *args, gradient_noise=None, **given):
        pairs, adapted, last = accumulated(params, envs, *args, noise=gradient_noise, **given)
        start = tree_map(lambda p: p - s.stop_gradient(p), params)
        return np.array(
            [risk(tree_map(np.add, start, adapted[i]), last, envs[j]) for i, j in pairs]
        )

    def value_and_grad(right, name, params, envs, l2=0.0, **hyper):
        if name != "meta_irm" or not l2:
            return right(name, params, envs, l2=l2, **hyper)
        value, gradient = right(name, params, envs, **hyper)
        inner = {k: v for k, v in hyper.items() if k not in ("std_weight", "gradient_noise")}
        *_, last = accumulated(params, envs, noise=hyper.get("gradient_noise"), **inner)
        norm = float(s.squared_norm(last))
        return value + l2 * norm, tree_map(lambda g, p: g + 2 * l2 * p, gradient, last)

    wrap(s, "meta_losses", meta_losses)
    wrap(s, "value_and_grad", value_and_grad)


# ---- which pairs ---------------------------------------------------------------------------------


@mistake(
    "same environment in both loops",
    "theta'_i is evaluated on environment i itself, as MAML without the exchange",
    "evaluate theta'_i on the environments j != i",
)
def _(s):
    s.all_pairs = lambda n_envs, same_env=False: [(i, i) for i in range(n_envs)]


@mistake(
    "pairs swapped",
    "for the pair (i, j) environment i is used for the meta-loss and j for the inner steps",
    "adapt to i, evaluate on j",
)
def _(s):
    change_pairs(
        s, lambda pairs, n, same: [(j, i) for i, j in pairs or s.all_pairs(n)] if not same else None
    )


@mistake(
    "pairs ignored",
    "all pairs j != i are evaluated whatever is sampled",
    "evaluate the pairs that are given, each as often as it is there",
)
def _(s):
    change_pairs(s, lambda pairs, n, same: None)


@mistake(
    "repeated pairs counted once",
    "pairs are kept in a set or a dict, so that one that is given twice counts once",
    "evaluate each pair as often as it is there",
)
def _(s):
    change_pairs(s, lambda pairs, n, same: pairs and list(dict.fromkeys(pairs)))


@mistake(
    "same_env ignored",
    "the pairs j != i are evaluated with same_env, too",
    "evaluate theta'_i on environment i with same_env",
)
def _(s):
    wrap(s, "all_pairs", lambda right, n, same_env=False: right(n))


@mistake(
    "only pairs i < j",
    "each two environments are taken once, as by itertools.combinations",
    "evaluate (i, j) and (j, i), as by itertools.permutations",
)
def _(s):
    wrap(
        s,
        "all_pairs",
        lambda right, n, same_env=False: (
            right(n, True) if same_env else [(i, j) for i, j in right(n) if i < j]
        ),
    )


@mistake(
    "pairs include i = j",
    "theta'_i is evaluated on its own environment besides the others",
    "leave j = i out",
)
def _(s):
    wrap(
        s,
        "all_pairs",
        lambda right, n, same_env=False: (
            right(n, True) if same_env else [(i, j) for i in range(n) for j in range(n)]
        ),
    )


# ---- how they are combined -----------------------------------------------------------------------


@mistake(
    "the other environments pooled",
    "theta'_i is evaluated on the samples of all other environments at once, one meta-loss for "
    "each i",
    "evaluate theta'_i on each environment j by itself",
)
def _(s):
    def wrong(right, params, envs, *args, same_env=False, pairs=None, gradient_noise=None, **given):
        if same_env or pairs is not None or len(envs) == 2:
            given |= {"same_env": same_env, "pairs": pairs, "gradient_noise": gradient_noise}
            return right(params, envs, *args, **given)
        noise = gradient_noise and [*gradient_noise, gradient_noise[0]]  # the last is not used
        L = []
        for i in range(len(envs)):
            others = [env for j, env in enumerate(envs) if j != i]
            whole = Environment(*(np.concatenate([getattr(e, a) for e in others]) for a in "xy"))
            given |= {"pairs": [(i, len(envs))], "gradient_noise": noise}
            L.append(right(params, [*envs, whole], *args, **given)[0])
        return np.array(L)

    wrap(s, "meta_losses", wrong)


@mistake(
    "meta-losses weighted by sample numbers",
    "each R_j counts by the share of environment j in all samples, or that times E",
    "weigh all meta-losses alike",
    variants=(False, True),
)
def _(s, times_E):
    def combine(k):
        n = np.array([len(env) for env in k.envs]) / sum(map(len, k.envs))
        n = len(k.envs) * n if times_E else n
        return np.sum(np.array([n[j] for _, j in k.pairs]) * k.L) + k.weight * s.sigma(k.L)

    braces(s, combine)


@mistake(
    "risks at theta added",
    "the risks before the inner steps count besides the meta-losses",
    "sum the meta-losses alone",
)
def _(s):
    braces(s, lambda k: np.sum(k.L) + np.sum(s.risks(k.params, k.envs)) + k.weight * s.sigma(k.L))


@mistake(
    "mean over j, sum over i",
    "the meta-losses of each theta'_i are averaged, and these means summed",
    "sum over all pairs",
)
def _(s):
    def combine(k):
        starts = [i for i, _ in k.pairs]
        share = np.array([1 / starts.count(i) for i in starts])
        return np.sum(share * k.L) + k.weight * s.sigma(k.L)

    braces(s, combine)


@mistake(
    "l2 inside the meta-losses",
    "each meta-loss has the norm of theta or of theta'_i in it, so that it counts once a pair",
    "add l2 ||theta||^2 to the objective once",
    variants=("theta'", "theta"),
)
def _(s, where):
    def wrong(right, name, params, envs, l2=0.0, **hyper):
        if name != "meta_irm" or not l2:
            return right(name, params, envs, l2=l2, **hyper)
        risk = s.risk
        own = s.adapt

        def adapt(right_adapt, *args, **given):
            s.risk = risk
            try:
                return own(*args, **given)
            finally:
                s.risk = with_norm

        def with_norm(theta, env):
            return risk(theta, env) + l2 * s.squared_norm(theta)

        def meta_losses(theta, *args, **given):
            L = kept(theta, *args, **given)
            return L + l2 * s.squared_norm(theta)

        kept = s.meta_losses
        if where == "theta":
            s.meta_losses = meta_losses
        else:
            s.risk = with_norm
            wrap(s, "adapt", adapt)
        try:
            return right(name, params, envs, **hyper)
        finally:
            s.risk, s.adapt, s.meta_losses = risk, own, kept

    wrap(s, "value_and_grad", wrong)
