/**
 * The activations: one function on each number. Each has `value(x, settings)` and
 * `slope(x, settings)`, its derivative there; dx = dout * slope.
 */

function activation(value, slope) {
  return {
    value,
    slope,
    outputShape: (settings, shape) => shape,
    forward: (x, { settings }) => ({ x, out: x.map((one) => value(one, settings)) }),
    backward(dout, { x }, { settings }) {
      const dx = x.zeros();
      for (let i = 0; i < dx.size; i++) {
        const factor = slope(x.data[i], settings);
        // A closed unit's gradient is 0, also where dout is infinite.
        dx.data[i] = factor === 0 ? 0 : dout.data[i] * factor;
      }
      return { dx };
    },
  };
}

/**
 * max(0, x); the slope at exactly 0 is 0. A comparison with NaN is false: NaN comes through.
 *
 * Its passes are written out: a call for each number costs more than the number.
 */
export const ReLU = {
  ...activation((x) => (x <= 0 ? 0 : x), (x) => (x > 0 ? 1 : 0)),
  forward(x) {
    const out = x.zeros(), from = x.data, to = out.data;
    for (let i = 0; i < to.length; i++) to[i] = from[i] <= 0 ? 0 : from[i];
    return { x, out };
  },
  backward(dout, { x }) {
    const dx = x.zeros(), from = dout.data, to = dx.data, at = x.data;
    for (let i = 0; i < to.length; i++) to[i] = at[i] > 0 ? from[i] : 0;
    return { dx };
  },
};

/** max(x, slope x). */
export const LeakyReLU = activation(
  (x, { slope }) => (x <= 0 ? slope * x : x),
  (x, { slope }) => (x > 0 ? 1 : slope),
);

/** 1 / (1 + exp(-x)), from exp(-|x|), which cannot overflow. */
export function sigmoid(x) {
  const small = Math.exp(-Math.abs(x));
  return (x >= 0 ? 1 : small) / (1 + small);
}

export const Sigmoid = activation(sigmoid, (x) => sigmoid(x) * sigmoid(-x));

export const Tanh = activation(Math.tanh, (x) => (1 - Math.tanh(x)) * (1 + Math.tanh(x)));

/** x sigmoid(x). */
export const SiLU = activation(
  (x) => (x === -Infinity ? 0 : x * sigmoid(x)),
  (x) => (Math.abs(x) === Infinity ? +(x > 0) : sigmoid(x) * (1 + x * sigmoid(-x))),
);

/** x Phi(x), Phi the normal distribution function, or its form with tanh. */
export const GELU = activation(
  (x, { approximate }) => (x === -Infinity ? 0 : x * (approximate ? tanhForm(x) : normal(x))),
  geluSlope,
);

function geluSlope(x, { approximate }) {
  if (Math.abs(x) > 40) return +(x > 0); // further out the slope is that of the limit
  if (!approximate) return normal(x) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
  const steepness = Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x);
  return tanhForm(x) + 2 * x * tanhForm(x) * tanhForm(-x) * steepness;
}

/** (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3): the tanh form of Phi. */
export function tanhForm(x) {
  return sigmoid(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x));
}

/** Phi(x): the probability that a standard normal number is below x. */
export function normal(x) {
  const upper = erfc(Math.abs(x) / Math.SQRT2) / 2;
  return x > 0 ? 1 - upper : upper;
}

// erfc(a) for a >= 0: below 2 from a series of positive terms, 2/sqrt(pi) exp(-a^2) times the sum
// of 2^k a^(2k+1) / (1 3 5 ... (2k+1)); from 2 on from its continued fraction, from inside out.
function erfc(a) {
  const gauss = Math.exp(-a * a) / Math.sqrt(Math.PI);
  if (!(a < 2)) {
    let fraction = a;
    for (let k = 60; k >= 1; k--) fraction = a + k / 2 / fraction;
    return a > 28 ? 0 : gauss / fraction; // beyond 28 it is 0 in float64
  }
  let term = a, sum = a;
  for (let k = 1; term > sum * 1e-17; k++) sum += term *= (2 * a * a) / (2 * k + 1);
  return 1 - 2 * gauss * sum;
}
