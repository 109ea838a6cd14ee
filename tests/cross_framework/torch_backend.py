"""The objectives in PyTorch, as a backend to copy.

First the equations on tensors, then the functions that the suite calls.
"""

import torch


class Backend:
    name = "PyTorch"

    # ---- the equations: theta is a list of tensors [W, b, W, b, ...], an environment a pair (x, y)

    def activation(self, a):
        return torch.relu(a)  # with derivative 0 at 0

    def forward(self, theta, x):
        for W, b in zip(theta[0:-2:2], theta[1:-2:2]):
            x = self.activation(torch.addmm(b, x, W))
        return torch.addmm(theta[-1], x, theta[-2])  # (n, out)

    def loss(self, f, y):
        if f.shape[1] == 1:
            return torch.nn.functional.binary_cross_entropy_with_logits(f[:, 0], y.to(f.dtype))
        return torch.nn.functional.cross_entropy(f, y)

    def risk_on(self, theta, env):
        return self.loss(self.forward(theta, env[0]), env[1])

    def l2_term(self, theta, weight):
        return weight * sum((part**2).sum() for part in theta) if weight else 0.0

    def penalty(self, f, y):  # Eq. 2; Arjovsky et al., 2019
        w = torch.ones((), dtype=f.dtype, requires_grad=True)
        return torch.autograd.grad(self.loss(w * f, y), w, create_graph=True)[0] ** 2

    def variance(self, values):
        # values.var() may round to more than 0 for equal values: its root's gradient is then wrong
        return ((values - values.mean()) ** 2).mean()

    def sigma(self, L):  # Eq. 5
        squared = self.variance(L)
        return squared.sqrt() if squared > 0 else 0 * squared  # with derivative 0, not infinity

    def inner_loop(
        self,
        theta,
        env,
        inner_lr,
        inner_steps=1,
        *,
        inner_l2=0.0,
        gradient_noise=None,
        first_order=False,
    ):  # Eq. 3
        for t in range(inner_steps):
            value = self.risk_on(theta, env) + self.l2_term(theta, inner_l2)
            gradient = torch.autograd.grad(value, theta, create_graph=not first_order)
            if gradient_noise is not None:  # DropGrad
                gradient = [m * g for m, g in zip(self.tensors(gradient_noise[t]), gradient)]
            theta = [part - inner_lr * g for part, g in zip(theta, gradient)]
        return theta

    def exchange(
        self,
        theta,
        envs,
        inner_lr,
        inner_steps=1,
        *,
        same_env=False,
        gradient_noise=None,
        pairs=None,
        **options,
    ):
        n = range(len(envs))
        pairs = pairs or [(i, j) for i in n for j in n if (i == j) == same_env]
        noise = gradient_noise or [None for _ in n]
        adapted = [
            self.inner_loop(
                theta, envs[i], inner_lr, inner_steps, gradient_noise=noise[i], **options
            )
            for i in n
        ]
        return torch.stack([self.risk_on(adapted[i], envs[j]) for i, j in pairs])  # Eq. 4

    def objective(
        self,
        name,
        theta,
        envs,
        *,
        l2=0.0,
        penalty_weight=0.0,
        lambda_min=0.0,
        std_weight=0.0,
        **inner,
    ):
        if name == "meta_irm":  # Eq. 6
            L = self.exchange(theta, envs, **inner)
            return L.sum() + std_weight * self.sigma(L) + self.l2_term(theta, l2)
        outputs = [(self.forward(theta, x), y) for x, y in envs]
        R = torch.stack([self.loss(f, y) for f, y in outputs])
        value = R.sum()
        if name == "irmv1":
            value = value + penalty_weight * sum(self.penalty(f, y) for f, y in outputs)
        elif name == "v_rex":  # Krueger et al., 2021, as MM-REx
            value = value + penalty_weight * self.variance(R)
        elif name == "mm_rex":  # max() shares its derivative among ties
            value = (1 - len(envs) * lambda_min) * R.max() + lambda_min * value
        elif name != "erm":
            raise NotImplementedError(name)
        return value + self.l2_term(theta, l2)

    # ---- the NumPy boundary: arrays in, arrays of the same dtype out -----------------------------

    def tensors(self, params):
        return [torch.tensor(part, requires_grad=True) for layer in params for part in layer]

    def data(self, envs):
        return [(torch.tensor(env.x), torch.tensor(env.y)) for env in envs]

    def arrays(self, theta):
        parts = [part.detach().numpy().copy() for part in theta]  # optimizers write in place
        return list(zip(parts[::2], parts[1::2]))

    def value_and_grad(self, name, params, envs, **hyper):
        theta = self.tensors(params)
        value = self.objective(name, theta, self.data(envs), **hyper)
        return value.item(), self.arrays(torch.autograd.grad(value, theta))

    def logits(self, params, x):
        return self.forward(self.tensors(params), torch.tensor(x)).detach().numpy()

    def risk(self, params, env):
        return self.risk_on(self.tensors(params), *self.data([env])).item()

    def adapt(self, params, env, inner_lr, inner_steps=1, **options):
        theta, (env,) = self.tensors(params), self.data([env])
        return self.arrays(self.inner_loop(theta, env, inner_lr, inner_steps, **options))

    def meta_losses(self, params, envs, inner_lr, inner_steps=1, **options):
        theta, envs = self.tensors(params), self.data(envs)
        return self.exchange(theta, envs, inner_lr, inner_steps, **options).detach().numpy()

    def sigma_and_weights(self, params, envs, inner_lr, std_weight, inner_steps=1, **options):
        L = self.exchange(self.tensors(params), self.data(envs), inner_lr, inner_steps, **options)
        L = L.detach().requires_grad_()
        sigma = self.sigma(L)
        (slope,) = torch.autograd.grad(sigma, L)
        return sigma.item(), (1 + std_weight * slope).numpy()

    def irmv1_penalty(self, params, env):
        x, y = self.data([env])[0]
        return self.penalty(self.forward(self.tensors(params), x), y).item()

    def hessian_vector_product(self, params, env, vector):
        theta, (env,) = self.tensors(params), self.data([env])
        gradient = torch.autograd.grad(self.risk_on(theta, env), theta, create_graph=True)
        return self.arrays(torch.autograd.grad(gradient, theta, self.tensors(vector)))

    def optimizer(self, theta, name, lr, momentum=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8):
        if name == "sgd":
            return torch.optim.SGD(theta, lr, momentum)
        return torch.optim.Adam(theta, lr, (beta1, beta2), epsilon)

    def train_steps(self, name, params, envs, optimizer, steps, **hyper):
        theta, envs, after = self.tensors(params), self.data(envs), []
        update = self.optimizer(theta, **optimizer)
        for _ in range(steps):
            update.zero_grad()
            self.objective(name, theta, envs, **hyper).backward()
            update.step()
            after.append(self.arrays(theta))
        return after
