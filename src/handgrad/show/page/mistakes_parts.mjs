/**
 * How a wrong pass is made of the right one.
 */

/**
 * A wrong forward pass: wrong(step, {x, layer, own, context, again}) changes the right step, where
 * again({own, context, x}) runs the right pass with other arguments.
 */
export function forwardOf(kind, wrong) {
  const plant = (right) => ({
    forward(x, layer, own, context) {
      const again = (other = {}) => {
        const given = { x, own, context, ...other };
        return right.forward(given.x, layer, given.own, given.context);
      };
      return wrong(again, { x, layer, own, context });
    },
  });
  return { kind, pass: "forward", plant };
}

/**
 * A wrong backward pass: wrong(found, {dout, step, layer, own, again}) gives the entries of the
 * right gradients that are wrong; again({dout, step, own}) runs the right pass with other arguments.
 */
export function backwardOf(kind, wrong) {
  const plant = (right) => ({
    backward(dout, step, layer, own, needDx) {
      const again = (other = {}) => {
        const given = { dout, step, own, ...other };
        return right.backward(given.dout, given.step, layer, given.own, needDx);
      };
      const found = again();
      return { ...found, ...wrong(found, { dout, step, layer, own, again }) };
    },
  });
  return { kind, pass: "backward", plant };
}

/** A gradient multiplied by a number, or by one that depends on the pass; null stays null. */
export function scaled(which, factor) {
  return (found, at) => {
    const by = typeof factor === "function" ? factor(at) : factor;
    return { [which]: found[which]?.map((value) => value * by) ?? null };
  };
}

/** A gradient that ignores dout: what one gets for a dout of ones. */
export function ignoringUpstream(which) {
  return (found, { dout, again }) => ({ [which]: again({ dout: dout.map(() => 1) })[which] });
}

/** A tensor with all but some numbers of each example's channels set to 0. */
export function onlyWhere(tensor, chosen) {
  const [, C] = tensor.shape, P = tensor.size / tensor.shape[0] / C;
  return tensor.map((value, i) => {
    const row = Math.floor(i / P);
    return chosen({ n: Math.floor(row / C), c: row % C }) ? value : 0;
  });
}
