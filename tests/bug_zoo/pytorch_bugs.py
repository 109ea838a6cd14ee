"""Mistakes as they arise in PyTorch, written without looking at the catalogue.

`bug` is a mistake's name there.
"""

import torch
from cross_framework.torch_backend import Backend
from torch.nn import functional

# ---- network -------------------------------------------------------------------------------------


class SoftmaxTwice(Backend):
    """The network ends in a softmax, and cross_entropy takes logits."""

    bug = "softmax applied twice"

    def loss(self, f, y):
        return super().loss(f if f.shape[1] == 1 else f.softmax(1), y)


class RoundedProbabilities(Backend):
    """BCELoss is fed a sigmoid, in place of BCEWithLogitsLoss."""

    bug = "loss from rounded probabilities"

    def loss(self, f, y):
        if f.shape[1] > 1:
            return super().loss(f, y)
        return functional.binary_cross_entropy(torch.sigmoid(f[:, 0]), y.to(f.dtype))


class SoftplusThreshold(Backend):
    """The logistic loss is softplus, which is z above its default threshold of 20."""

    bug = "softplus cut at a threshold"

    def loss(self, f, y):
        if f.shape[1] > 1:
            return super().loss(f, y)
        return functional.softplus((1 - 2 * y) * f[:, 0]).mean()


class TransposedWeights(Backend):
    """The layers are nn.Linear, whose weights are (out, in)."""

    bug = "transposed weights"

    def forward(self, theta, x):
        for W, b in zip(theta[0:-2:2], theta[1:-2:2]):
            x = self.activation(functional.linear(x, W, b))
        return functional.linear(x, theta[-2], theta[-1])


# ---- baselines -----------------------------------------------------------------------------------


class PenaltyWithoutGradient(Backend):
    """The derivative by w is taken without create_graph, so that its square is a constant."""

    bug = "IRMv1 penalty without gradient"

    def penalty(self, f, y):
        w = torch.ones((), dtype=f.dtype, requires_grad=True)
        return torch.autograd.grad(self.loss(w * f, y), w)[0] ** 2


# ---- meta-IRM ------------------------------------------------------------------------------------


class FirstOrderLeak(Backend):
    """The inner gradient is taken without create_graph."""

    bug = "first-order leak"

    def inner_loop(self, *args, **options):
        return super().inner_loop(*args, **{**options, "first_order": True})


class LastUpdateForAll(Backend):
    """The fast weights of all environments are one list, filled anew for each."""

    bug = "last environment's update used for all"

    def __init__(self):
        self.fast = []

    def inner_loop(self, *args, **options):
        self.fast[:] = super().inner_loop(*args, **options)
        return self.fast


class UpdatesAccumulate(Backend):
    """The inner step writes into the model's parameters through .data, which nothing undoes."""

    bug = "updates accumulate over environments"

    def exchange(
        self, theta, envs, *args, same_env=False, gradient_noise=None, pairs=None, **options
    ):
        n = range(len(envs))
        pairs = pairs or [(i, j) for i in n for j in n if (i == j) == same_env]
        losses = {}
        for i in sorted({i for i, _ in pairs}):
            noise = gradient_noise and gradient_noise[i]
            for part, moved in zip(
                theta, self.inner_loop(theta, envs[i], *args, gradient_noise=noise, **options)
            ):
                part.data.copy_(moved)
            losses |= {(i, j): self.risk_on(theta, envs[j]) for j in n}
        return torch.stack([losses[pair] for pair in pairs])


class SampleStandardDeviation(Backend):
    """The default of torch.std is the unbiased estimate."""

    bug = "sample standard deviation"

    def sigma(self, L):
        return L.std()


class SigmaWithoutGradient(Backend):
    """Sigma is taken of the detached losses that are kept for the log."""

    bug = "sigma without gradient"

    def sigma(self, L):
        return super().sigma(L.detach())


class NanAtSigmaZero(Backend):
    """Of a variance of 0 the root has an infinite derivative, which 0 makes NaN."""

    bug = "NaN gradient at sigma = 0"

    def sigma(self, L):
        return self.variance(L).sqrt()


class NoiseNotInBackward(Backend):
    """The multipliers are written into the gradient's .data, past the graph."""

    bug = "noise not applied in the backward pass"

    def inner_loop(self, theta, env, inner_lr, inner_steps=1, *, gradient_noise=None, **options):
        if gradient_noise is None:
            return super().inner_loop(theta, env, inner_lr, inner_steps, **options)
        for t in range(inner_steps):
            value = self.risk_on(theta, env) + self.l2_term(theta, options.get("inner_l2", 0.0))
            gradient = torch.autograd.grad(
                value, theta, create_graph=not options.get("first_order", False)
            )
            for g, m in zip(gradient, self.tensors(gradient_noise[t])):
                g.data.mul_(m.data)
            theta = [part - inner_lr * g for part, g in zip(theta, gradient)]
        return theta


# ---- optimizers and precision --------------------------------------------------------------------


class DecoupledDecay(Backend):
    """The l2 term is the weight decay of AdamW; that of torch.optim.SGD is coupled."""

    bug = "weight decay decoupled"

    def optimizer(
        self, theta, name, lr, momentum=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8, decay=0.0
    ):
        if name == "sgd":
            return torch.optim.SGD(theta, lr, momentum, weight_decay=decay)
        return torch.optim.AdamW(theta, lr, (beta1, beta2), epsilon, weight_decay=decay)

    def train_steps(self, name, params, envs, optimizer, steps, l2=0.0, **hyper):
        return super().train_steps(
            name, params, envs, {**optimizer, "decay": 2 * l2}, steps, **hyper
        )


class DampenedMomentum(Backend):
    """The option dampening of torch.optim.SGD is set to the momentum; the first step stays."""

    bug = "momentum dampened"

    def optimizer(self, theta, name, lr, momentum=0.0, **settings):
        if name == "sgd":
            return torch.optim.SGD(theta, lr, momentum, dampening=momentum)
        return super().optimizer(theta, name, lr, **settings)


class NesterovMomentum(Backend):
    """The option nesterov of torch.optim.SGD is switched on."""

    bug = "Nesterov momentum"

    def optimizer(self, theta, name, lr, momentum=0.0, **settings):
        if name == "sgd":
            return torch.optim.SGD(theta, lr, momentum, nesterov=momentum > 0)
        return super().optimizer(theta, name, lr, **settings)


class ComputesInFloat32(Backend):
    """The tensors are made with torch.Tensor(array), which is float32 whatever the array is."""

    bug = "computes in float32"

    def tensors(self, params):
        return [torch.Tensor(part).requires_grad_() for layer in params for part in layer]

    def forward(self, theta, x):
        return super().forward(theta, x.float())


ZOO = [bug for bug in Backend.__subclasses__() if hasattr(bug, "bug")]
