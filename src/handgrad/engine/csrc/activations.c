/* Activations, number by number: out = f(x), dx = d f'(x).
 *
 *   sigmoid     s = 1 / (1 + exp(-x)):             f' = s (1 - s)
 *   tanh        t = (e - 1) / (e + 1), e = exp(2x): f' = (1 - t) (1 + t)
 *   leaky ReLU  max(x, slope x):                   f' = 1 where x > 0, else slope
 *   GELU        x Phi(x), Phi(x) = erfc(-x / sqrt 2) / 2:           f' = Phi(x) + x phi(x)
 *   its tanh form  x s(2u), u = sqrt(2 / pi) (x + 0.044715 x^3):    f' = s + 2 x s (1 - s) u'
 *   SiLU        x s(x):                            f' = s (1 + x (1 - s))
 *
 * The backward pass computes f' from x. Far from 0, where f is 0, x or a constant to the last digit,
 * a number is taken for one less far: infinity times 0 is no number.
 */
#include "exponential.h"

#include <math.h>

enum { SIGMOID, TANH, LEAKY_RELU, GELU, GELU_TANH, SILU };     /* as in plan.py */

enum { FAR = 40, FAR_SIGMOID = 1000 };

ALWAYS_INLINE vec absolute(vec x) { return choose(x < 0, -x, x); }
ALWAYS_INLINE vec cut(vec x, real far) { return choose(x > far, spread(far), choose(x < -far, spread(-far), x)); }

/* s(x), and 1 - s(x) with all its digits, too. */
ALWAYS_INLINE vec sigmoid(vec x, vec *rest) {
    const vec small = exponential(-absolute(x)), large = 1 / (1 + small);
    *rest = choose(x < 0, large, small * large);
    return choose(x < 0, small * large, large);
}

ALWAYS_INLINE vec hyperbolic_tangent(vec x) {
    const vec e = exponential_less_1(2 * cut(absolute(x), 20)), t = e / (e + 2);
    return choose(x < 0, -t, t);
}

static vec normal_below(vec x) {
    for (int lane = 0; lane < LANES; lane++) x[lane] = (real)(erfc(-(double)x[lane] * M_SQRT1_2) / 2);
    return x;
}

/* f(x), and in slope f'(x). */
ALWAYS_INLINE vec activation(const int function, real leak, vec x, vec *slope) {
    const vec z = cut(x, function == SILU ? FAR_SIGMOID : FAR), least = choose(x < z, z, x);
    vec share, rest;
    switch (function) {
    case SIGMOID:
        share = sigmoid(x, &rest);
        *slope = share * (1 - share);
        return share;
    case TANH:
        share = hyperbolic_tangent(x);
        *slope = (1 - share) * (1 + share);
        return share;
    case LEAKY_RELU:
        *slope = choose(x > 0, spread(1), spread(leak));
        return choose(x > 0, x, leak * x);
    case GELU:
        share = normal_below(z);
        *slope = share + z * exponential(-z * z / 2) * (real)(M_2_SQRTPI * M_SQRT1_2 / 2);
        return least * share;
    case GELU_TANH: {
        const real steepness = M_2_SQRTPI * M_SQRT1_2, cubic = 0.044715;
        share = sigmoid(2 * steepness * (z + cubic * z * z * z), &rest);
        *slope = share + 2 * z * share * rest * (steepness * (1 + 3 * cubic * z * z));
        return least * share;
    }
    default:
        share = sigmoid(z, &rest);
        *slope = share * (1 + z * rest);
        return least * share;
    }
}

typedef struct {
    Turn *turn;
    int parts;
} Work;

ALWAYS_INLINE void run(const int function, const Work *work, int part) {
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const int64_t vectors = turn->n * (int64_t)layer->in.h * layer->in.w * layer->in.stride / LANES;
    const int64_t to = vectors * (part + 1) / work->parts * LANES;
    const real leak = (real)layer->slope;
    vec slope;
    for (int64_t i = vectors * part / work->parts * LANES; i < to; i += LANES) {
        const vec out = activation(function, leak, CVEC(turn->x + i), &slope);
        if (turn->d) VEC(turn->dx + i) = CVEC(turn->d + i) * slope;
        else VEC(layer->output + i) = out;
    }
}

static void either_part(void *with, int part) {
    const Work *work = with;
    switch (work->turn->layer->function) {
    case SIGMOID: run(SIGMOID, work, part); break;
    case TANH: run(TANH, work, part); break;
    case LEAKY_RELU: run(LEAKY_RELU, work, part); break;
    case GELU: run(GELU, work, part); break;
    case GELU_TANH: run(GELU_TANH, work, part); break;
    default: run(SILU, work, part);
    }
}

static Work work_of(Turn *turn) {
    const Shape *in = &turn->layer->in;
    const double numbers = (double)turn->n * in->h * in->w * in->stride;
    return (Work){turn, worth_parts(turn->threads, numbers, 1 << 13)};
}

void activation_forward(Turn *turn) {
    Work work = work_of(turn);
    in_parts(work.parts, either_part, &work);
}

void activation_backward(Turn *turn) {
    Work work = work_of(turn);
    if (turn->dx) in_parts(work.parts, either_part, &work);
}
