"""The mistakes that the catalogue did not have in release 0.3, listed before any was written.

Every third of the list, numbers 3, 6, 9, ..., is held out: it has no entry in the catalogue, and
is written as a backend in `held_out` that nobody looks at while the rules of the diagnosis are
made. The others enter the catalogue under these names.
"""

TO_CATCH = """
second-order term scaled
Gauss-Newton matrix for the Hessian
diagonal of the Hessian by one random vector
identity for the Hessian
Hessian-vector product by central differences
meta-gradient by finite differences of the value
Hessian-vector product by forward differences
implicit gradient (iMAML)
average of the gradients at theta and theta'
Reptile
Hessian taken at theta'
Hessian of the environment that is evaluated
only the last layer adapted (ANIL)
all but the last layer adapted (BOIL)
only the first layer adapted
weights not adapted
last inner step without its graph
way back taken twice
inner gradient clipped by its norm
inner gradient clipped entry by entry
inner gradient clipped array by array
inner gradient normalised
sign of the inner gradient
momentum in the inner steps
inner learning rate divided by the number of steps
inner steps uphill
inner learning rate decays over the steps
inner learning rate scaled
inner loss over all environments
every inner step along the gradient at theta
inner loss summed over samples
inner_steps ignored
inner_l2 halved
inner_l2 ignored
inner_l2 without biases
inner_l2 decoupled from the learning rate
noise on the weights only
one environment's noise for all
noise on the biases only
first step's noise for all steps
noise added
divided by the noise
noise less one
noise on the whole step
environments' noise in reverse order
noise squared
noise averaged over each array
noise as a mask
noise on the way back only
noise normalised to mean one
noise only in the first step
only pairs i < j
pairs include i = j
only the next environment
repeated pairs counted once
same_env ignored
only the first pair of each i
the other environments pooled
meta-losses weighted by sample numbers
adapted to the other environments, evaluated on its own
risks at theta added
mean over j, sum over i
last pair left out
l2 inside the meta-losses
sigma within each i
sigma within each j
sigma over environments' means
epsilon under sigma's root
mean absolute deviation for sigma
range for sigma
sigma relative to the mean
convex combination with sigma
lambda times the number of pairs
sigma subtracted
largest meta-loss for sigma
std_weight ignored
lambda scaled
root of lambda
objective averaged over pairs
objective averaged over environments
sigma over the logarithms
label smoothing
focal loss
hinge loss
squared error
loss scaled
temperature
class-weighted loss
mean over samples and outputs
one-vs-rest losses for several classes
risk divided by n - 1
logits clipped
softmax over the samples
(n, 1) against (n,)
probabilities clipped
labels 0 and 1 taken as signs
leaky ReLU
tanh units
GELU units
ELU units
sigmoid units
softplus units
no activation
activation on the output
ReLU6 units
last bias left out
hidden biases left out
hidden units normalised over the batch
inputs scaled
inputs centred
residual connections
environments pooled
environments padded
environments cut to the shortest
mean of minibatch means
last minibatch dropped
first minibatch only
risks weighted by sample numbers
last environment left out
repeated environments counted once
norm not squared
mean of squares for the norm
last layer's norm only
l2 added once for each environment
l1 norm
norm without gradient
l2 ignored
l2 doubled
l2 squared
IRMv1 penalty of the pooled environments
IRMv1 penalty by the last layer
IRMv1 penalty by an added constant
IRMv1 penalty from two consecutive halves
penalty_weight ignored
IRMv1 penalties summed before the square
V-REx penalty without gradient
V-REx with mean absolute differences
V-REx halved
soft maximum for MM-REx
minimum in MM-REx
MM-REx with the first of tied maxima
objective divided by 1 + penalty weight
lambda_min ignored
V-REx about the smallest risk
Adam's epsilon not rescaled
AMSGrad
RMSProp
bias correction of the first moment only
bias correction one step late
betas swapped
optimizer's state lost
gradients accumulated
learning rate decays
momentum ignored
another momentum
momentum averaged with bias correction
gradient clipped before the step
another epsilon in Adam
averaged parameters returned
learning rate scaled
weight decay on top of l2
second moment from the largest gradient (AdaMax)
first_order ignored
computes in half precision
parameters kept in float16
""".strip().splitlines()
HELD_OUT = TO_CATCH[2::3]
