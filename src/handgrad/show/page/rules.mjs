/**
 * The update rules of `handgrad.optim`: each steps w in place, along with its state.
 */

/** The rules by name, with their settings' defaults. */
export const DEFAULTS = {
  sgd: { learning_rate: 1e-2 },
  sgd_momentum: { learning_rate: 1e-2, momentum: 0.9 },
  nesterov: { learning_rate: 1e-2, momentum: 0.9 },
  rmsprop: { learning_rate: 1e-2, decay_rate: 0.99, epsilon: 1e-8 },
  adam: { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
  adamw: { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 1e-2 },
};

/**
 * One step of a rule.
 *
 * @param {string} rule  a name of DEFAULTS
 * @param {Float32Array | Float64Array} w  is changed
 * @param {Float32Array | Float64Array} dw
 * @param {object} settings  all of the rule's
 * @param {object} state  of this parameter alone; {} at first, and changed
 */
export function stepOf(rule, w, dw, settings, state) {
  STEPS[rule](w, dw, settings, state);
}

function kept(state, name, w) {
  return (state[name] ??= new w.constructor(w.length));
}

const STEPS = {
  // w' = w - rate dw
  sgd(w, dw, { learning_rate: rate }) {
    for (let i = 0; i < w.length; i++) w[i] -= rate * dw[i];
  },

  // velocity' = momentum velocity - rate dw; w' = w + velocity'
  sgd_momentum(w, dw, { learning_rate: rate, momentum }, state) {
    const velocity = kept(state, "velocity", w);
    for (let i = 0; i < w.length; i++) {
      const next = momentum * velocity[i] - rate * dw[i];
      velocity[i] = next;
      w[i] += next;
    }
  },

  // velocity' = momentum velocity + dw; w' = w - rate (dw + momentum velocity')
  nesterov(w, dw, { learning_rate: rate, momentum }, state) {
    const velocity = kept(state, "velocity", w);
    for (let i = 0; i < w.length; i++) {
      const next = momentum * velocity[i] + dw[i];
      velocity[i] = next;
      w[i] -= rate * (dw[i] + momentum * next);
    }
  },

  // cache' = decay cache + (1 - decay) dw^2; w' = w - rate dw / (sqrt(cache') + epsilon)
  rmsprop(w, dw, { learning_rate: rate, decay_rate: decay, epsilon }, state) {
    const cache = kept(state, "cache", w);
    for (let i = 0; i < w.length; i++) {
      const next = decay * cache[i] + (1 - decay) * dw[i] * dw[i];
      cache[i] = next;
      w[i] -= (rate * dw[i]) / (Math.sqrt(next) + epsilon);
    }
  },

  // m' = beta1 m + (1 - beta1) dw; v' = beta2 v + (1 - beta2) dw^2; both divided by 1 - beta^t';
  // w' = w - rate m_hat / (sqrt(v_hat) + epsilon), and with decay - rate weight_decay w
  adam(w, dw, { learning_rate: rate, beta1, beta2, epsilon, weight_decay: decay = 0 }, state) {
    const m = kept(state, "m", w), v = kept(state, "v", w);
    const t = (state.t = (state.t ?? 0) + 1);
    const ofM = 1 / (1 - beta1 ** t), ofV = 1 / (1 - beta2 ** t);
    for (let i = 0; i < w.length; i++) {
      const nextM = beta1 * m[i] + (1 - beta1) * dw[i];
      const nextV = beta2 * v[i] + (1 - beta2) * dw[i] * dw[i];
      m[i] = nextM;
      v[i] = nextV;
      w[i] -= rate * ((nextM * ofM) / (Math.sqrt(nextV * ofV) + epsilon) + decay * w[i]);
    }
  },
};
STEPS.adamw = STEPS.adam;
