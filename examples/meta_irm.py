"""Meta-IRM in one sitting (Bae, Choi and Lee, 2021): Colored MNIST, ERM against meta-IRM.

    python examples/meta_irm.py

The colour of a training digit tells its label for 90 % and 80 % of the images (p_e = .1 and .2), the
shape for 75 %. At p_e = .9 the colour lies: ERM, which trusts it, fails there, and meta-IRM does not.
"""

import autograd.numpy as np
from autograd import grad

from metairm_np.environments import colored_mnist

ALPHA, LAMBDA = 1.4, 0.36  # the inner learning rate, and the weight of sigma
BETA, L2, P = 0.0012, 0.0015, 0.18  # Adam's learning rate, the weight of ||theta||^2, DropGrad's p


def each(function, *thetas):
    """Apply a function to the matching arrays of several lists of (W, b)."""
    return [tuple(map(function, *layers)) for layers in zip(*thetas)]


def logits(theta, x):
    """The model, one hidden layer: (n, 392) -> (n, 256) -> (n,)."""
    (W1, b1), (W2, b2) = theta
    a = np.dot(x, W1) + b1
    return (np.dot(a * (a > 0), W2) + b2)[:, 0]


def risk(theta, env):
    """R^e(theta), the mean of log(1 + e^-z), z the logit with the sign of the label, and the norm."""
    z = np.asarray(2 * env.y - 1, env.dtype) * logits(theta, env.x)
    norm = sum(np.sum(W * W) + np.sum(b * b) for W, b in theta)
    return np.sum(np.logaddexp(0.0, -z)) / len(env) + L2 * norm


def erm(theta, envs, noise):
    """Eq. 1: the sum of the risks."""
    return sum(risk(theta, env) for env in envs)


def meta_irm(theta, envs, noise):
    """Eq. 3 to 6: adapt to i, evaluate on the others j, and ask for equal meta-losses, too."""
    L = []
    for i, env in enumerate(envs):
        g = grad(risk)(theta, env)  # the graph goes through this gradient: second derivatives
        adapted = each(lambda p, d, m: p - ALPHA * (m * d), theta, g, noise[i])  # Eq. 3, DropGrad
        L += [risk(adapted, other) for j, other in enumerate(envs) if j != i]  # Eq. 4
    L = np.array(L)
    sigma = np.sqrt(np.sum((L - np.mean(L)) ** 2) / len(L))  # Eq. 5
    return np.sum(L) + LAMBDA * sigma  # the braces of Eq. 6


def train(objective, theta, envs, steps, rng):
    """Minimise objective(theta, envs, noise) by Adam, on all samples in each step."""
    m, v = each(np.zeros_like, theta), each(np.zeros_like, theta)
    for t in range(1, steps + 1):
        noise = [each(lambda p: rng.normal(1, (P / (1 - P)) ** 0.5, p.shape).astype(p.dtype), theta) for _ in envs]
        g = grad(objective)(theta, envs, noise)
        m = each(lambda old, d: 0.9 * old + 0.1 * d, m, g)
        v = each(lambda old, d: 0.999 * old + 0.001 * d * d, v, g)
        rate, scale = BETA / (1 - 0.9**t), 1 / (1 - 0.999**t)
        theta = each(lambda p, a, b: p - rate * a / (np.sqrt(scale * b) + 1e-8), theta, m, v)
        if t % 10 == 0: print(t, [round(100*float(np.mean((logits(theta, e.x) > 0) == e.y)),1) for e in TESTS])
    return theta


if __name__ == "__main__":
    import sys, time
    n = int(sys.argv[1]); seed = int(sys.argv[2]); steps=int(sys.argv[3])
    for a in sys.argv[4:]:
        k, val = a.split("="); globals()[k] = float(val)
    trial, rng = colored_mnist(seed=seed, n_per_env=n, validation=0, dtype="float32"), np.random.RandomState(seed)
    TESTS = [trial.test(p) for p in (0.1, 0.2, 0.9)]
    shapes = ((392, 256), (256, 1))
    first = [tuple(rng.uniform(-1, 1, s).astype("float32") / i**0.5 for s in ((i, o), o)) for i, o in shapes]
    s = time.time()
    train(meta_irm, first, trial.train, steps, rng)
    print(time.time() - s)
