"""A correct backend in small methods, each of which some bug of the zoo replaces."""

import autograd.numpy as np
from autograd import grad, value_and_grad
from autograd.tracer import getval


def each(function, *trees):
    """Apply `function` to matching arrays of several lists of (W, b)."""
    return [tuple(function(*parts) for parts in zip(*layers)) for layers in zip(*trees)]


def leaves(tree):
    return [part for pair in tree for part in pair]


def pairs_of(parts):
    return list(zip(parts[::2], parts[1::2]))


def as_in(params, tree):
    """Return `tree` in the dtype of `params`, since autograd leaks float64 into float32 gradients."""
    return each(lambda part, p: part.astype(p.dtype), tree, params)


def log_softmax(f):
    f = f - getval(np.max(f, axis=1, keepdims=True))  # the shift cancels, so it may be constant
    return f - np.log(np.sum(np.exp(f), axis=1, keepdims=True))


class Correct:
    # ---- network and risk

    def activation(self, a):
        return np.where(a > 0, a, 0.0)

    def affine(self, h, W, b):
        return h @ W + b

    def logits(self, params, x):
        for W, b in params[:-1]:
            x = self.activation(self.affine(x, W, b))
        return self.affine(x, *params[-1])

    def binary_loss(self, z, y):
        return np.logaddexp(0.0, np.where(y == 1, -z, z))

    def class_loss(self, f, y):
        return -log_softmax(f)[np.arange(len(y)), y]

    def losses(self, f, y):  # one per sample
        return self.binary_loss(f[:, 0], y) if f.shape[1] == 1 else self.class_loss(f, y)

    def mean_loss(self, f, y):
        return np.mean(self.losses(f, y))

    def risk(self, params, env):
        return self.mean_loss(self.logits(params, env.x), env.y)

    def risks(self, params, envs):
        return np.array([self.risk(params, env) for env in envs])

    def squared_norm(self, params):
        return sum(np.sum(part**2) for part in leaves(params))

    # ---- baselines

    def total(self, values):  # of the environments' terms in ERM, IRMv1 and V-REx
        return np.sum(values)

    def erm(self, params, envs):
        return self.total(self.risks(params, envs))

    def slope(self, f, y):  # d/dw of the risk of w f at w = 1
        return grad(lambda w: self.mean_loss(w * f, y))(1.0)

    def penalty(self, f, y):
        return self.slope(f, y) ** 2

    def irmv1(self, params, envs, penalty_weight):
        penalties = np.array([self.penalty(self.logits(params, env.x), env.y) for env in envs])
        return self.erm(params, envs) + penalty_weight * self.total(penalties)

    def variance(self, R):
        return np.mean((R - np.mean(R)) ** 2)

    def v_rex(self, params, envs, penalty_weight):
        R = self.risks(params, envs)
        return self.total(R) + penalty_weight * self.variance(R)

    def mm_rex(self, params, envs, lambda_min):
        R = self.risks(params, envs)
        return (1 - len(R) * lambda_min) * np.max(R) + lambda_min * np.sum(R)

    # ---- meta-IRM

    def inner_gradient(self, params, env, inner_l2):
        gradient = grad(lambda theta: self.risk(theta, env) + inner_l2 * self.squared_norm(theta))(
            params
        )
        return as_in(params, gradient)

    def drop(self, noise, gradient):  # DropGrad, one inner step
        return each(lambda m, g: m * g, noise, gradient)

    def move(self, params, gradient, inner_lr):
        return each(lambda p, g: p - inner_lr * g, params, gradient)

    def adapt(
        self,
        params,
        env,
        inner_lr,
        inner_steps=1,
        *,
        inner_l2=0.0,
        gradient_noise=None,
        first_order=False,
    ):
        for t in range(inner_steps):
            gradient = self.inner_gradient(params, env, inner_l2)
            if first_order:
                gradient = each(getval, gradient)
            if gradient_noise is not None:
                gradient = self.drop(gradient_noise[t], gradient)
            params = self.move(params, gradient, inner_lr)
        return params

    def adapted_all(
        self, params, envs, which, noise, *args, **options
    ):  # {i: theta'_i} for i in `which`
        return {
            i: self.adapt(params, envs[i], *args, gradient_noise=noise and noise[i], **options)
            for i in which
        }

    def choose_pairs(self, n_envs, same_env, pairs):
        every = [(i, j) for i in range(n_envs) for j in range(n_envs)]
        return pairs or [(i, j) for i, j in every if (i == j) == same_env]

    def meta_losses(
        self,
        params,
        envs,
        inner_lr,
        inner_steps=1,
        *,
        same_env=False,
        inner_l2=0.0,
        gradient_noise=None,
        pairs=None,
        first_order=False,
    ):
        pairs = self.choose_pairs(len(envs), same_env, pairs)
        which, options = (
            sorted({i for i, _ in pairs}),
            {"inner_l2": inner_l2, "first_order": first_order},
        )
        adapted = self.adapted_all(
            params, envs, which, gradient_noise, inner_lr, inner_steps, **options
        )
        return np.array([self.risk(adapted[i], envs[j]) for i, j in pairs])

    def sigma(self, L):
        squared = np.mean((L - np.mean(L)) ** 2)
        return (
            np.sqrt(squared) if squared > 0 else 0.0 * squared
        )  # the root has no derivative at 0; 0 is taken

    def combine(self, L, std_weight):
        return np.sum(L) + std_weight * self.sigma(L)

    def meta_irm(self, params, envs, inner_lr, std_weight, **options):
        return self.combine(self.meta_losses(params, envs, inner_lr, **options), std_weight)

    def hessian_vector_product(self, params, env, vector):
        def directional(theta):
            return sum(
                np.sum(g * v) for g, v in zip(leaves(grad(self.risk)(theta, env)), leaves(vector))
            )

        return as_in(params, grad(directional)(params))

    # ---- values, gradients and training

    def objective(self, name, params, envs, l2=0.0, **hyper):
        return getattr(self, name)(params, envs, **hyper) + l2 * self.squared_norm(params)

    def value_and_grad(self, name, params, envs, **hyper):
        params = [tuple(pair) for pair in params]
        value, gradient = value_and_grad(lambda theta: self.objective(name, theta, envs, **hyper))(
            params
        )
        return float(value), as_in(params, gradient)

    def sgd(self, p, g, m, v, t, lr, momentum=0.0):  # of one array; gives the new p, m, v
        m = momentum * m + g
        return p - lr * m, m, v

    def adam(self, p, g, m, v, t, lr=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        return p - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + epsilon), m, v

    def train_steps(self, name, params, envs, optimizer, steps, **hyper):
        settings, trajectory = dict(optimizer), []
        rule = getattr(self, settings.pop("name"))
        parts = leaves(params)
        m = v = [0 * part for part in parts]
        for t in range(1, steps + 1):
            _, gradient = self.value_and_grad(name, pairs_of(parts), envs, **hyper)
            parts, m, v = zip(
                *[rule(*arrays, t, **settings) for arrays in zip(parts, leaves(gradient), m, v)]
            )
            trajectory.append(pairs_of(parts))
        return trajectory
