/* Update rules, in place: the equations are those of handgrad.optim, in its letters.
 *
 *   sgd       w -= rate dw
 *   momentum  v = a v - rate dw;               w += v
 *   nesterov  v = a v + dw;                    w -= rate (dw + a v)
 *   rmsprop   c = a c + (1 - a) dw^2;          w -= rate dw / (sqrt(c) + epsilon)
 *   adam(w)   m = a m + (1 - a) dw;  v = b v + (1 - b) dw^2;
 *             w -= rate m / (1 - a^t) / (sqrt(v / (1 - b^t)) + epsilon) + rate decay w
 *
 * Each number is read and written once. The compiler makes vectors of these loops, since no array
 * overlaps another (restrict).
 */
#include "engine.h"

#include <math.h>
#include <string.h>

#ifdef __clang__
#define SQRT(x) ((real)(sizeof(real) == 4 ? __builtin_sqrtf((float)(x)) : __builtin_sqrt(x)))
#else
#define SQRT(x) ((real)(sizeof(real) == 4 ? sqrtf((float)(x)) : sqrt(x)))
#endif

static void momentum(const Param *p, real *restrict w, const real *restrict dw,
                     real *restrict v, int64_t n, real rate) {
    const real a = (real)p->a;
    for (int64_t i = 0; i < n; i++) {
        v[i] = a * v[i] - rate * dw[i];
        w[i] += v[i];
    }
}

static void nesterov(const Param *p, real *restrict w, const real *restrict dw,
                     real *restrict v, int64_t n, real rate) {
    const real a = (real)p->a;
    for (int64_t i = 0; i < n; i++) {
        v[i] = a * v[i] + dw[i];
        w[i] -= rate * (dw[i] + a * v[i]);
    }
}

static void rmsprop(const Param *p, real *restrict w, const real *restrict dw,
                    real *restrict c, int64_t n, real rate) {
    const real a = (real)p->a, rest = (real)(1 - p->a), epsilon = (real)p->epsilon;
    for (int64_t i = 0; i < n; i++) {
        c[i] = a * c[i] + rest * dw[i] * dw[i];
        w[i] -= rate * dw[i] / (SQRT(c[i]) + epsilon);
    }
}

/* The bias corrections go into the rate and into one factor of the root. */
typedef struct {
    real a, b, rest_a, rest_b, scaled, root, epsilon, shrink;
} Adam;

/* Most parameters have the numbers of the one before them. */
void count_step(Param *params, int count) {
    for (int i = 0; i < count; i++) {
        Param *p = params + i;
        const Param *before = i ? p - 1 : p;
        p->t++;
        if (p->rule != ADAM) continue;
        const int same = i && before->rule == ADAM && before->t == p->t && before->a == p->a && before->b == p->b;
        p->mean_has = same ? before->mean_has : 1 - pow(p->a, (double)p->t);
        p->square_has = same ? before->square_has : 1 - pow(p->b, (double)p->t);
    }
}

static Adam adam_of(const Param *p, double rate) {
    return (Adam){
        (real)p->a, (real)p->b, (real)(1 - p->a), (real)(1 - p->b),
        (real)(rate / p->mean_has), (real)(1 / sqrt(p->square_has)),
        (real)p->epsilon, (real)(rate * p->decay),
    };
}

static void adam(const Adam *by, real *restrict w, const real *restrict dw,
                 real *restrict m, real *restrict v, int64_t n) {
    const Adam k = *by;
    for (int64_t i = 0; i < n; i++) {
        real mean = k.a * m[i] + k.rest_a * dw[i];
        real square = k.b * v[i] + k.rest_b * dw[i] * dw[i];
        m[i] = mean;
        v[i] = square;
        w[i] -= k.scaled * mean / (SQRT(square) * k.root + k.epsilon) + k.shrink * w[i];
    }
}

static void step(Param *p, const real *dw, int64_t at, int64_t n, double rate) {
    real *w = p->w + at, r = (real)rate;
    switch (p->rule) {
    case SGD:
        for (int64_t i = 0; i < n; i++) w[i] -= r * dw[i];
        break;
    case MOMENTUM: momentum(p, w, dw, p->first + at, n, r); break;
    case NESTEROV: nesterov(p, w, dw, p->first + at, n, r); break;
    case RMSPROP: rmsprop(p, w, dw, p->first + at, n, r); break;
    default: {
        Adam by = adam_of(p, rate);
        adam(&by, w, dw, p->first + at, p->second + at, n);
    }
    }
}

/* dw += reg w; gives sum(w^2), added up in double a few thousand numbers at a time. */
static double penalise(real *restrict dw, const real *restrict w, int64_t n, real reg) {
    double total = 0;
    for (int64_t from = 0; from < n; from += 1024) {
        int64_t to = MIN(from + 1024, n), i = from;
        vec sum = {0};
        for (; i + LANES <= to; i += LANES) {
            sum += CVEC(w + i) * CVEC(w + i);
            VEC(dw + i) += reg * CVEC(w + i);
        }
        double some = 0;
        for (int lane = 0; lane < LANES; lane++) some += sum[lane];
        for (; i < to; i++) {
            some += (double)w[i] * w[i];
            dw[i] += reg * w[i];
        }
        if (some > 1e300 || isinf(some)) {      /* squares beyond float */
            some = 0;
            for (i = from; i < to; i++) some += (double)w[i] * w[i];
        }
        total += some;
    }
    return total;
}

double learn(Param *p, real *dw, int64_t at, int64_t count, const Turn *turn) {
    double squares = 0;
    if (p->penalised && turn->reg > 0)
        squares = penalise(dw, p->w + at, count, (real)turn->reg);
    if (p->rule != NO_RULE) step(p, dw, at, count, turn->rate);
    else if (dw != p->dw + at) memcpy(p->dw + at, dw, sizeof(real) * (size_t)count);
    return squares;
}
