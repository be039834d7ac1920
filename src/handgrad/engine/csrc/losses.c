/* The losses of scores x, a mean over N examples, and their gradients d.
 *
 *   softmax   -ln p[y],  p = exp(x) / sum(exp(x)):   d = (p - onehot(y)) / N
 *   logistic  ln(1 + exp(-y x)):                     d = -y / (1 + exp(y x)) / N
 *   svm       max(0, 1 - y x):                       d = -y / N where y x < 1, else 0
 */
#include "engine.h"

#include <math.h>

enum { SOFTMAX, LOGISTIC, SVM };

ALWAYS_INLINE real EXP(real x) { return sizeof(real) == 4 ? expf((float)x) : (real)exp(x); }

/* The largest score is taken away first, so that no exponential overflows. */
static double softmax(const real *x, int64_t label, real *d, int classes, real N) {
    real largest = x[0];
    for (int c = 1; c < classes; c++)
        if (!(x[c] <= largest)) largest = x[c];     /* a NaN comes through */
    real total = 0;
    for (int c = 0; c < classes; c++) {
        d[c] = EXP(x[c] - largest);
        total += d[c];
    }
    const real share = 1 / (total * N);
    for (int c = 0; c < classes; c++) d[c] *= share;
    d[label] -= 1 / N;
    return log((double)total) - (double)(x[label] - largest);
}

static double logistic(real x, real sign, real *d, real N) {
    real margin = sign * x, small = EXP(margin < 0 ? margin : -margin);     /* in (0, 1] */
    *d = -sign * (margin >= 0 ? small : 1) / (1 + small) / N;
    return log1p((double)small) + (double)(margin >= 0 ? 0 : -margin);
}

static double svm(real x, real sign, real *d, real N) {
    real slack = 1 - sign * x;
    *d = slack > 0 ? -sign / N : 0;
    return slack <= 0 ? 0 : (double)slack;          /* a NaN comes through */
}

/* size: examples, classes, and the numbers from one row to the next. */
double loss_and_gradient(int kind, const real *x, const int64_t *labels, real *d,
                         const int64_t *size) {
    const int64_t N = size[0], stride = size[2];
    double total = 0;
    for (int64_t n = 0; n < N; n++) {
        const real *row = x + n * stride, sign = labels[n] > 0 ? 1 : -1;
        real *drow = d + n * stride;
        if (kind == SOFTMAX) total += softmax(row, labels[n], drow, (int)size[1], (real)N);
        else if (kind == LOGISTIC) total += logistic(row[0], sign, drow, (real)N);
        else total += svm(row[0], sign, drow, (real)N);
        for (int64_t c = size[1]; c < stride; c++) drow[c] = 0;
    }
    return total / (double)N;
}
