"""The objectives in JAX, as a backend to copy.

First the equations on JAX's arrays, then the functions that the suite calls.
"""

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)  # JAX makes float64 input float32 otherwise


class Backend:
    name = "JAX"

    # ---- the equations: theta is a list of (W, b), an environment a pair (x, y) ------------------

    def activation(self, a):
        return jax.nn.relu(a)  # with derivative 0 at 0; that of jnp.maximum(a, 0) is 1/2

    def forward(self, theta, x):
        *hidden, (W, b) = theta
        for V, c in hidden:
            x = self.activation(x @ V + c)
        return x @ W + b  # (n, out)

    def loss(self, f, y):
        if f.shape[1] == 1:
            return jnp.mean(jax.nn.softplus((1 - 2 * y) * f[:, 0]))
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(f), y[:, None], axis=1))

    def risk_on(self, theta, env):
        return self.loss(self.forward(theta, env[0]), env[1])

    def l2_term(self, theta, weight):
        return weight * sum(jnp.sum(part**2) for part in jax.tree.leaves(theta)) if weight else 0.0

    def penalty(self, f, y):  # Eq. 2; Arjovsky et al., 2019
        return jax.grad(lambda w: self.loss(w * f, y))(jnp.ones((), f.dtype)) ** 2

    def sigma(self, L):  # Eq. 5
        squared = jnp.var(L)
        positive = (
            squared > 0
        )  # the inner where keeps the root's infinite derivative out of 0 * inf
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)

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
            gradient = jax.grad(
                lambda point: self.risk_on(point, env) + self.l2_term(point, inner_l2)
            )(theta)
            gradient = jax.lax.stop_gradient(gradient) if first_order else gradient
            if gradient_noise is not None:  # DropGrad
                gradient = jax.tree.map(jnp.multiply, gradient_noise[t], gradient)
            theta = jax.tree.map(lambda part, g: part - inner_lr * g, theta, gradient)
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
        return jnp.stack([self.risk_on(adapted[i], envs[j]) for i, j in pairs])  # Eq. 4

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
            return jnp.sum(L) + std_weight * self.sigma(L) + self.l2_term(theta, l2)
        outputs = [(self.forward(theta, x), y) for x, y in envs]
        R = jnp.stack([self.loss(f, y) for f, y in outputs])
        value = jnp.sum(R)
        if name == "irmv1":
            value = value + penalty_weight * sum(self.penalty(f, y) for f, y in outputs)
        elif name == "v_rex":  # Krueger et al., 2021, as MM-REx
            value = value + penalty_weight * jnp.var(R)
        elif name == "mm_rex":  # jnp.max shares its derivative among ties
            value = (1 - len(envs) * lambda_min) * jnp.max(R) + lambda_min * value
        elif name != "erm":
            raise NotImplementedError(name)
        return value + self.l2_term(theta, l2)

    # ---- the NumPy boundary: arrays in, arrays of the same dtype out -----------------------------

    def data(self, envs):
        return jax.device_put([(env.x, env.y) for env in envs])

    def value_and_grad(self, name, params, envs, **hyper):
        # without jit, which takes seconds for each new set of keywords
        theta, envs = jax.device_put(params), self.data(envs)
        value, gradient = jax.value_and_grad(
            lambda theta: self.objective(name, theta, envs, **hyper)
        )(theta)
        return float(value), jax.device_get(gradient)

    def logits(self, params, x):
        return jax.device_get(self.forward(*jax.device_put((params, x))))

    def risk(self, params, env):
        return float(self.risk_on(jax.device_put(params), *self.data([env])))

    def adapt(self, params, env, inner_lr, inner_steps=1, **options):
        theta, (env,) = jax.device_put(params), self.data([env])
        return jax.device_get(self.inner_loop(theta, env, inner_lr, inner_steps, **options))

    def meta_losses(self, params, envs, inner_lr, inner_steps=1, **options):
        theta, envs = jax.device_put(params), self.data(envs)
        return jax.device_get(self.exchange(theta, envs, inner_lr, inner_steps, **options))

    def sigma_and_weights(self, params, envs, inner_lr, std_weight, inner_steps=1, **options):
        L = self.meta_losses(params, envs, inner_lr, inner_steps, **options)
        sigma, slope = jax.value_and_grad(self.sigma)(L)
        return float(sigma), jax.device_get(1 + std_weight * slope)

    def irmv1_penalty(self, params, env):
        theta, ((x, y),) = jax.device_put(params), self.data([env])
        return float(self.penalty(self.forward(theta, x), y))

    def hessian_vector_product(self, params, env, vector):
        gradient = jax.grad(lambda theta: self.risk_on(theta, *self.data([env])))
        return jax.device_get(jax.jvp(gradient, *jax.device_put(((params,), (vector,))))[1])

    def step(
        self, t, theta, g, m, v, *, name, lr, momentum=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8
    ):
        if name == "sgd":
            m = jax.tree.map(lambda m, g: momentum * m + g, m, g)
            return jax.tree.map(lambda p, m: p - lr * m, theta, m), m, v
        m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, g)
        v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g**2, v, g)
        c, d = 1 - beta1**t, 1 - beta2**t

        def moved(p, m, v):
            return p - lr * (m / c) / (jnp.sqrt(v / d) + epsilon)

        return jax.tree.map(moved, theta, m, v), m, v

    def train_steps(self, name, params, envs, optimizer, steps, **hyper):
        theta, envs, after = jax.device_put(params), self.data(envs), []
        gradient = jax.grad(lambda theta: self.objective(name, theta, envs, **hyper))
        m = v = jax.tree.map(jnp.zeros_like, theta)
        for t in range(1, steps + 1):
            theta, m, v = self.step(t, theta, gradient(theta), m, v, **optimizer)
            after.append(jax.device_get(theta))
        return after
