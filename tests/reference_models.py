"""Slow oracles for the models: plain loops over samples, steps and dimensions in double precision.

They share no code with what they check. Probabilities are differences of the textbook distribution function, masks are
counted step by step, and recurrences are written out unit by unit.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

Row = Sequence[float]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def softmax(logits: Row) -> list[float]:
    highest = max(logits)
    powers = [math.exp(x - highest) for x in logits]
    return [x / sum(powers) for x in powers]


def mixture_log_mass(parameters: Row, lower: float, upper: float) -> float:
    """Log of the sum over components of weight times a difference of distribution functions.

    `parameters` are K logits, K means, K log-scales. Above a component's mean the difference is that of the mirror
    image, where the distribution function is near 0 and not near 1, so that it keeps its digits.
    """
    k = len(parameters) // 3
    weights, total = softmax(parameters[:k]), 0.0
    for i in range(k):
        mean, scale = parameters[k + i], math.exp(max(parameters[2 * k + i], -7.0))
        above = math.inf if upper >= 1e29 else (upper - mean) / scale
        below = -math.inf if lower <= -1e29 else (lower - mean) / scale
        if below > 0:
            above, below = -below, -above
        total += weights[i] * (sigmoid(above) - sigmoid(below))
    return math.log(total)


def mixture_log_mass_exactly(parameters: Row, lower: float, upper: float, digits: int = 40) -> float:
    """The same with many digits, so that nothing cancels; with 400 digits nothing underflows."""
    k = len(parameters) // 3
    with localcontext() as context:
        context.prec = digits

        def cdf(x: float, mean: float, log_scale: float) -> Decimal:
            scaled = (Decimal(x) - Decimal(mean)) / Decimal(max(log_scale, -7.0)).exp()
            return 1 / (1 + (-scaled).exp())

        powers = [Decimal(x).exp() for x in parameters[:k]]
        total = Decimal(0)
        for i in range(k):
            mean, log_scale = parameters[k + i], parameters[2 * k + i]
            above = Decimal(1) if upper >= 1e29 else cdf(upper, mean, log_scale)
            below = Decimal(0) if lower <= -1e29 else cdf(lower, mean, log_scale)
            total += powers[i] * (above - below)
        return float((total / sum(powers)).ln())


def mulaw(x: float, mu: int = 65_535) -> float:
    return math.copysign(math.log(1 + mu * abs(x)) / math.log(1 + mu), x)


def mulaw8_code(pcm: int) -> int:
    """The number, from 0, of the 8-bit μ-law code of a 16-bit value."""
    return math.floor((mulaw(pcm / 32_768, 255) + 1) / 2 * 255 + 0.5)


def uniform_bin(pcm: int) -> tuple[float, float]:
    """Half a bin on either side of the companded value; the outer bins reach to infinity."""
    y, half = mulaw(pcm / 32_768), 1 / 65_535
    return (-1e30 if y <= -1 + half else y - half), (1e30 if y >= 1 - half else y + half)


def pcm_bin(pcm: int) -> tuple[float, float]:
    """Between the midpoints to the neighbouring PCM values, companded."""
    lower = -1e30 if pcm == -32_768 else mulaw((pcm - 0.5) / 32_768)
    upper = 1e30 if pcm == 32_767 else mulaw((pcm + 0.5) / 32_768)
    return lower, upper


def linear_bin(pcm: int) -> tuple[float, float]:
    """The same on the linear axis."""
    return (-1e30 if pcm == -32_768 else (pcm - 0.5) / 32_768), (1e30 if pcm == 32_767 else (pcm + 0.5) / 32_768)


def gaussian_kl(mean_q: float, std_q: float, mean_p: float, std_p: float) -> float:
    return math.log(std_p / std_q) + (std_q**2 + (mean_q - mean_p) ** 2) / (2 * std_p**2) - 0.5


def gaussian_product(mean_1: float, std_1: float, mean_2: float, std_2: float) -> tuple[float, float]:
    """Mean and standard deviation of the normalised product of two densities."""
    variance = 1 / (1 / std_1**2 + 1 / std_2**2)
    return variance * (mean_1 / std_1**2 + mean_2 / std_2**2), math.sqrt(variance)


def affine(weight: Sequence[Row], bias: Row | None, x: Row) -> list[float]:
    """Weight rows are outputs, as in a linear layer."""
    out = []
    for i in range(len(weight)):
        total = 0.0 if bias is None else bias[i]
        for j in range(len(x)):
            total += weight[i][j] * x[j]
        out.append(total)
    return out


def relu(x: Row) -> list[float]:
    return [max(0.0, v) for v in x]


def gru(from_input: Row, from_state: Row, h: Row) -> list[float]:
    """New state; inputs in the order candidate, reset, update, and from the state reset, update, candidate."""
    n = len(h)
    new = []
    for i in range(n):
        reset = sigmoid(from_input[n + i] + from_state[i])
        update = sigmoid(from_input[2 * n + i] + from_state[n + i])
        candidate = math.tanh(from_input[i] + reset * from_state[2 * n + i])
        new.append((1 - update) * candidate + update * h[i])
    return new


def head(parameters: Row) -> tuple[list[float], list[float]]:
    """Means and standard deviations from means and log precisions, which stay in [-6, 12]."""
    n = len(parameters) // 2
    return list(parameters[:n]), [math.exp(-0.5 * min(12.0, max(-6.0, x))) for x in parameters[n:]]


def touched_steps(length: int, stride: int) -> int:
    """Steps of `stride` samples with at least one sample of the utterance, counted one by one."""
    count = 0
    while count * stride < length:
        count += 1
    return count


def ramp(first: float, last: float, share: float, update: int, updates: int) -> float:
    if share == 0 or update >= share * updates:
        return last
    return first + (last - first) * update / (share * updates)


def perceptron(layers: Sequence[tuple[Sequence[Row], Row]], x: Row) -> list[float]:
    """Rectified layers of weight and bias, one after another."""
    for weight, bias in layers:
        x = relu(affine(weight, bias, x))
    return list(x)


def companded(pcm: int, inputs: Sequence[str]) -> list[float]:
    """What an encoder sees of one sample: 16-bit μ-law, twice 8-bit μ-law, ten times the waveform."""
    x = pcm / 32_768
    seen = {"mulaw16": mulaw(x), "mulaw8": 2 * mulaw(x, 255), "linear": 10 * x}
    return [seen[how] for how in inputs]


def log_sum(terms: Row) -> float:
    highest = max(terms)
    return highest + math.log(math.fsum(math.exp(x - highest) for x in terms))


def gaussian_components(parameters: Row, min_std: float) -> list[tuple[float, float, float]]:
    """Weight, mean and standard deviation of each component, from K logits, K means, K log standard deviations."""
    k = len(parameters) // 3
    weights = softmax(parameters[:k])
    return [(weights[i], parameters[k + i], max(min_std, math.exp(parameters[2 * k + i]))) for i in range(k)]


def gaussian_mixture_log_density(parameters: Row, x: float, min_std: float) -> float:
    """Log of the textbook density, added up over components."""
    return log_sum(
        [
            math.log(weight) - math.log(std * math.sqrt(2 * math.pi)) - (x - mean) ** 2 / (2 * std**2)
            for weight, mean, std in gaussian_components(parameters, min_std)
        ]
    )


def gaussian_mixture_log_mass(parameters: Row, lower: float, upper: float, min_std: float) -> float:
    """Log of the density's integral over a bin by Simpson's rule; open bins end where the rest is negligible."""
    terms = []
    for weight, mean, std in gaussian_components(parameters, min_std):
        a, b = (lower - mean) / std, (upper - mean) / std
        if b > 1e20:
            b = max(a, 0.0) + min(10.0, 40 / max(1.0, a))  # the rest is smaller by a factor of e^-40
        if a < -1e20:
            a = min(b, 0.0) - min(10.0, 40 / max(1.0, -b))
        n, nearest, total = 4_000, 0.0 if a < 0 < b else min(a * a, b * b) / 2, 0.0
        for i in range(n + 1):
            z = a + (b - a) * i / n
            total += (1 if i in (0, n) else 4 if i % 2 else 2) * math.exp(nearest - z * z / 2)
        terms.append(math.log(weight * (b - a) * total / (3 * n * math.sqrt(2 * math.pi))) - nearest)
    return log_sum(terms)


def lstm(from_both: Row, cell: Row) -> tuple[list[float], list[float]]:
    """New state and cell; inputs in the order input gate, forget gate, candidate, output gate."""
    n = len(cell)
    new = []
    for i in range(n):
        kept = sigmoid(from_both[n + i]) * cell[i]
        new.append(kept + sigmoid(from_both[i]) * math.tanh(from_both[2 * n + i]))
    return [sigmoid(from_both[3 * n + i]) * math.tanh(new[i]) for i in range(n)], new


def gaussian_log_density(x: Row, mean: Row, std: Row) -> float:
    return math.fsum(
        -math.log(s * math.sqrt(2 * math.pi)) - (v - m) ** 2 / (2 * s**2) for v, m, s in zip(x, mean, std, strict=True)
    )


class Network:
    """Layers of a model by their names, unit by unit, from its weights as lists."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        self.w = weights

    def linear(self, name: str, x: Row) -> list[float]:
        return affine(self.w[f"{name}.weight"], self.w.get(f"{name}.bias"), x)

    def perceptron(self, name: str, x: Row) -> list[float]:
        """Rectified layers `name.layers.0`, `name.layers.1`, ..."""
        layer = 0
        while f"{name}.layers.{layer}.weight" in self.w:
            x = relu(self.linear(f"{name}.layers.{layer}", x))
            layer += 1
        return list(x)

    def gru(self, name: str, x: Row, h: Row) -> list[float]:
        """PyTorch's weights, in the order reset, update, candidate."""
        from_x = affine(self.w[f"{name}.weight_ih_l0"], self.w[f"{name}.bias_ih_l0"], x)
        from_h = affine(self.w[f"{name}.weight_hh_l0"], self.w[f"{name}.bias_hh_l0"], h)
        n = len(h)
        return gru([*from_x[2 * n :], *from_x[: 2 * n]], from_h, h)

    def lstm(self, name: str, x: Row, h: Row, cell: Row, layer: int = 0) -> tuple[list[float], list[float]]:
        """New state and cell."""
        from_x = affine(self.w[f"{name}.weight_ih_l{layer}"], self.w[f"{name}.bias_ih_l{layer}"], x)
        from_h = affine(self.w[f"{name}.weight_hh_l{layer}"], self.w[f"{name}.bias_hh_l{layer}"], h)
        return lstm([a + b for a, b in zip(from_x, from_h, strict=True)], cell)

    def lstm_states(self, name: str, inputs: Sequence[Row], hidden: int, layer: int = 0) -> list[list[float]]:
        """The state after every step, from zeros."""
        h, cell, states = [0.0] * hidden, [0.0] * hidden, []
        for x in inputs:
            h, cell = self.lstm(name, x, h, cell, layer)
            states.append(h)
        return states

    def gaussian(self, name: str, x: Row) -> tuple[list[float], list[float]]:
        """Mean and standard deviation by one layer of rectified units."""
        return head(self.linear(f"{name}.head", relu(self.linear(f"{name}.hidden", x))))
