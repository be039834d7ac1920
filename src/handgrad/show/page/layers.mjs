/**
 * The layers by the names of their descriptions in `handgrad.network`.
 *
 * Each has outputShape(settings, shape) and, where it has parameters, parameterShapes(settings,
 * shape), both for one example; and the two passes:
 *
 *   forward(x, layer, own, context) gives a Step: {x, out, ...what the backward pass needs}
 *   backward(dout, step, layer, own, needDx) gives {dx, and a gradient under each own name}
 *
 * with own the layer's parameters and statistics under their own names, and context {mode, random,
 * mask} of `Network.forward`. dx is null where it is not needed and would cost something.
 */

import { GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Tanh } from "handgrad-page/layers_activations";
import { Conv } from "handgrad-page/layers_conv";
import { Dense, Dropout, Flatten } from "handgrad-page/layers_dense";
import { BatchNorm, LayerNorm } from "handgrad-page/layers_norm";
import { AvgPool, GlobalAvgPool, MaxPool } from "handgrad-page/layers_pool";

export const KINDS = {
  AvgPool, BatchNorm, Conv, Dense, Dropout, Flatten, GELU, GlobalAvgPool, LayerNorm, LeakyReLU,
  MaxPool, ReLU, SiLU, Sigmoid, Tanh,
};
