/* The losses of scores x, a mean over N examples, and their gradients d.
 *
 *   softmax     -sum of q ln p,  p = exp(x) / sum(exp(x)),  q = (1 - s) onehot(y) + s / C:   d = p - q
 *   logistic    ln(1 + exp(-y x)):                            d = -y / (1 + exp(y x))
 *   svm         max(0, 1 - y x):                              d = -y where y x < 1, else 0
 *   multilabel  the logistic loss of each of L labels:        d as there, over L
 *   mse         (x - y)^2:                                    d = 2 (x - y) / M
 *   mae         |x - y|:                                      d = sign(x - y) / M
 *   huber       c (r - c / 2), r = x - y, c = r cut at delta: d = c / M
 *
 * Each d times the example's share: 1 / N, or its weight over their sum.
 */
#include "exponential.h"

#include <math.h>

enum { SOFTMAX, LOGISTIC, SVM, MULTILABEL, MSE, MAE, HUBER };

/* A sum of losses. Of as many factors 1 + s as a double takes it needs one logarithm. */
typedef struct {
    double sum, factors;
    int count;
} Total;

/* weight ln(1 + exp(-margin)), given exp(-|margin|); a NaN comes through. */
static void add_logistic(Total *total, double margin, double small, double weight) {
    total->sum += weight * (margin >= 0 ? 0 : -margin);
    if (weight != 1) {
        total->sum += weight * log1p(small);
        return;
    }
    total->factors *= 1 + small;
    total->sum += small < 1e-8 ? small - ((1 + small) - 1) : 0;     /* what 1 + small has lost of it */
    if (++total->count < 1000) return;
    total->sum += log(total->factors);
    total->factors = 1;
    total->count = 0;
}

/* Scores with the labels' signs, one a lane: their losses into the total, and the slopes. */
ALWAYS_INLINE vec logistic(vec x, vec sign, const double *weights, int count, Total *total) {
    const vec margin = sign * x, small = exponential(choose(margin < 0, margin, -margin));
    for (int lane = 0; lane < count; lane++) add_logistic(total, margin[lane], small[lane], weights[lane]);
    return -sign * choose(margin < 0, spread(1), small) / (1 + small);
}

/* The largest score is taken away first, so that no exponential overflows. */
static double softmax(const real *x, int64_t label, real *d, int classes, real smoothing) {
    real largest = x[0], total = 0;
    double away = 0;
    for (int c = 1; c < classes; c++)
        if (!(x[c] <= largest)) largest = x[c];     /* a NaN comes through */
    for (int c = 0; c < classes; c += LANES) VEC(d + c) = exponential(CVEC(x + c) - largest);
    for (int c = 0; c < classes; c++) total += d[c];
    for (int c = 0; c < classes; c++) d[c] = d[c] / total - smoothing / (real)classes;
    d[label] -= 1 - smoothing;
    for (int c = 0; c < classes && smoothing > 0; c++) away += (double)(x[c] - largest) / classes;
    return log((double)total) - (1 - (double)smoothing) * (double)(x[label] - largest) - (double)smoothing * away;
}

static double svm(real x, real sign, real *d) {
    const real slack = 1 - sign * x;
    *d = slack > 0 ? -sign : 0;
    return slack <= 0 ? 0 : (double)slack;          /* a NaN comes through */
}

static double multilabel(const real *x, const real *y, real *d, int labels) {
    const double ones[VECTOR_BYTES / sizeof(real)] = {[0 ... VECTOR_BYTES / sizeof(real) - 1] = 1};
    Total total = {0, 1, 0};
    for (int c = 0; c < labels; c += LANES) {
        const int count = MIN(LANES, labels - c);
        vec sign = {0};
        for (int lane = 0; lane < count; lane++) sign[lane] = y[c + lane] > 0 ? 1 : -1;
        VEC(d + c) = logistic(CVEC(x + c), sign, ones, count, &total) / (real)labels;
    }
    return (total.sum + log(total.factors)) / labels;
}

static double regression(const Loss *loss, const real *x, const real *y, real *d, int outputs) {
    const real delta = (real)loss->option;
    double total = 0;
    for (int c = 0; c < outputs; c++) {
        const real r = x[c] - y[c], cut = r > delta ? delta : r < -delta ? -delta : r;
        if (loss->kind == MSE) total += (double)(r * r);
        else if (loss->kind == MAE) total += (double)(r < 0 ? -r : r);
        else total += (double)(cut * (r - cut / 2));
        d[c] = loss->kind == MSE ? 2 * r : loss->kind == MAE ? (real)(r > 0) - (real)(r < 0) : cut;
        if (r != r) d[c] = r;
        d[c] /= (real)outputs;
    }
    return total / outputs;
}

/* One example; weight: of its loss. */
static double row_loss(const Loss *loss, const Targets *targets, int64_t n, const real *x, real *d, int C) {
    switch (loss->kind) {
    case SOFTMAX: return softmax(x, targets->labels[n], d, C, (real)loss->option);
    case SVM: return svm(x[0], targets->labels[n] > 0 ? 1 : -1, d);
    case MULTILABEL: return multilabel(x, targets->values + n * C, d, C);
    default: return regression(loss, x, targets->values + n * C, d, C);
    }
}

/* The logistic loss of some examples, as many as a vector has lanes. */
static void logistic_rows(const Targets *targets, int64_t n, int count, const real *x, real *d,
                          int64_t stride, Total *total) {
    double weights[VECTOR_BYTES / sizeof(real)] = {0};
    vec scores = {0}, sign = {0};
    for (int lane = 0; lane < count; lane++) {
        weights[lane] = targets->weights ? targets->weights[n + lane] : 1;
        scores[lane] = weights[lane] > 0 ? x[(n + lane) * stride] : 0;
        sign[lane] = targets->labels[n + lane] > 0 ? 1 : -1;
    }
    const vec slopes = logistic(scores, sign, weights, count, total);
    for (int lane = 0; lane < count; lane++) d[(n + lane) * stride] = slopes[lane];
}

/* size: examples, outputs, and the numbers from one row to the next. What weighs nothing counts
 * nothing, whatever its loss; where nothing weighs anything, all is 0. */
double loss_and_gradient(const Loss *loss, const Targets *targets, const real *x, real *d,
                         const int64_t *size) {
    const int64_t N = size[0], stride = size[2];
    const double *weights = targets->weights;
    double sum = weights ? 0 : (double)N;
    for (int64_t n = 0; n < N && weights; n++) sum += weights[n];
    Total total = {0, 1, 0};
    for (int64_t n = 0; n < N && loss->kind == LOGISTIC; n += LANES)
        logistic_rows(targets, n, (int)MIN(LANES, N - n), x, d, stride, &total);
    for (int64_t n = 0; n < N; n++) {
        const double weight = weights ? weights[n] : 1;
        const real share = weight > 0 ? (real)(weight / sum) : 0;
        real *row = d + n * stride;
        if (loss->kind != LOGISTIC && weight > 0)
            total.sum += weight * row_loss(loss, targets, n, x + n * stride, row, (int)size[1]);
        for (int64_t c = 0; c < size[1]; c++) row[c] = weight > 0 ? row[c] * share : 0;
        for (int64_t c = size[1]; c < stride; c++) row[c] = 0;
    }
    return sum > 0 ? (total.sum + log(total.factors)) / sum : 0;
}
