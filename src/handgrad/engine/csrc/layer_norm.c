/* Layer normalisation: each example by the mean and variance of its own D numbers.
 *
 *   out = gamma x_hat + beta,  x_hat = (x - mean) / sqrt(var + eps)
 *   dbeta = sum of d,  dgamma = sum of d x_hat,  over the examples
 *   dx = (g - mean of g - x_hat mean of (g x_hat)) / sqrt(var + eps),  g = gamma d
 *
 * gamma and beta lie as an example in the user's order, channel after channel; here they are brought
 * into the order of the pixels. Means are of distances from the first number, so that what is
 * constant has a variance of 0. The backward pass normalises x once more.
 */
#include "engine.h"

#include <math.h>
#include <string.h>

static int64_t pixels(const Shape *shape) { return (int64_t)shape->h * shape->w; }
static int64_t numbers(const Shape *shape) { return pixels(shape) * shape->stride; }

/* The first `c` lanes of a vector at channel `at`, the others 0. */
ALWAYS_INLINE vec counted(const Shape *shape, int at, vec x) {
    for (int lane = shape->c - at; lane < LANES; lane++) x[lane] = 0;
    return x;
}

/* The sum over an example of a b, of what counts; b NULL: of a. */
static double dot(const Shape *shape, const real *a, const real *b) {
    double total = 0;
    for (int64_t p = 0; p < pixels(shape); p++) {
        vec sum = {0};
        for (int c = 0; c < shape->c; c += LANES) {
            const vec one = CVEC(a + p * shape->stride + c);
            const vec both = b ? one * CVEC(b + p * shape->stride + c) : one;
            sum += c + LANES <= shape->c ? both : counted(shape, c, both);
        }
        for (int lane = 0; lane < LANES; lane++) total += (double)sum[lane];
    }
    return total;
}

/* x_hat of one example; gives 1 / sqrt(var + eps). */
static real normalised(const Layer *layer, const real *x, real *x_hat) {
    const Shape *shape = &layer->in;
    const int64_t size = numbers(shape), count = pixels(shape) * shape->c;
    for (int64_t i = 0; i < size; i++) x_hat[i] = x[i] - x[0];
    const real mean = (real)(dot(shape, x_hat, NULL) / (double)count);
    for (int64_t i = 0; i < size; i++) x_hat[i] -= mean;
    const real var = (real)(dot(shape, x_hat, x_hat) / (double)count);
    const real inverse = (real)(1 / sqrt((double)(var + (real)layer->eps)));
    for (int64_t i = 0; i < size; i++) x_hat[i] *= inverse;
    return inverse;
}

/* A parameter in the order of the pixels, 0 where nothing counts. */
static real *by_pixels(const Shape *shape, const real *w) {
    const int64_t bytes = (int64_t)sizeof(real) * numbers(shape);
    real *found = memset(scratch(bytes), 0, (size_t)bytes);
    transpose(w, pixels(shape), found, shape->stride, (const int64_t[]){shape->c, pixels(shape)});
    return found;
}

typedef struct {
    Turn *turn;
    int parts;
    const real *gamma, *beta;
    real *dgamma, *dbeta;       /* of each part */
} Work;

static void forward_part(void *with, int part) {
    const Scratch begun = scratch_begin();
    const Work *work = with;
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const int64_t size = numbers(&layer->in), n = turn->n, to = n * (part + 1) / work->parts;
    real *x_hat = scratch(sizeof(real) * size);
    for (int64_t row = n * part / work->parts; row < to; row++) {
        normalised(layer, turn->x + row * size, x_hat);
        for (int64_t i = 0; i < size; i += LANES)
            VEC(layer->output + row * size + i) = CVEC(work->gamma + i) * CVEC(x_hat + i) + CVEC(work->beta + i);
    }
    scratch_end(begun);
}

static void backward_part(void *with, int part) {
    const Scratch begun = scratch_begin();
    const Work *work = with;
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const Shape *shape = &layer->in;
    const int64_t size = numbers(shape), n = turn->n, to = n * (part + 1) / work->parts;
    const double count = (double)pixels(shape) * shape->c;
    real *x_hat = scratch(sizeof(real) * size), *g = scratch(sizeof(real) * size);
    real *dgamma = work->dgamma + part * size, *dbeta = work->dbeta + part * size;
    for (int64_t row = n * part / work->parts; row < to; row++) {
        const real *d = turn->d + row * size;
        const vec inverse = spread(normalised(layer, turn->x + row * size, x_hat));
        for (int64_t i = 0; i < size; i += LANES) {
            VEC(dbeta + i) += CVEC(d + i);
            VEC(dgamma + i) += CVEC(d + i) * CVEC(x_hat + i);
            VEC(g + i) = CVEC(d + i) * CVEC(work->gamma + i);
        }
        if (!turn->dx) continue;
        const real mean = (real)(dot(shape, g, NULL) / count), along = (real)(dot(shape, g, x_hat) / count);
        for (int64_t i = 0; i < size; i += LANES)
            VEC(turn->dx + row * size + i) = (CVEC(g + i) - mean - CVEC(x_hat + i) * along) * inverse;
    }
    scratch_end(begun);
}

static Work work_of(Turn *turn) {
    const Layer *layer = turn->layer;
    const double all = (double)turn->n * numbers(&layer->in);
    return (Work){.turn = turn, .parts = MIN(worth_parts(turn->threads, all, 1 << 14), turn->n),
                  .gamma = by_pixels(&layer->in, layer->gamma->w),
                  .beta = by_pixels(&layer->in, layer->beta->w)};
}

void layer_norm_forward(Turn *turn) {
    const Scratch begun = scratch_begin();
    Work work = work_of(turn);
    in_parts(work.parts, forward_part, &work);
    scratch_end(begun);
}

/* The parts' sums, in their order, as the parameter lies; and its step. */
static void learn_sums(const Turn *turn, Param *param, real *sums, int parts) {
    const Shape *shape = &turn->layer->in;
    const int64_t size = numbers(shape);
    for (int part = 1; part < parts; part++)
        for (int64_t i = 0; i < size; i += LANES) VEC(sums + i) += CVEC(sums + part * size + i);
    real *dw = scratch(sizeof(real) * param->size);
    transpose(sums, shape->stride, dw, pixels(shape), (const int64_t[]){pixels(shape), shape->c});
    learn(param, dw, 0, param->size, turn);
}

void layer_norm_backward(Turn *turn) {
    const Scratch begun = scratch_begin();
    const Layer *layer = turn->layer;
    Work work = work_of(turn);
    const int64_t bytes = (int64_t)sizeof(real) * numbers(&layer->in) * work.parts;
    work.dgamma = memset(scratch(bytes), 0, (size_t)bytes);
    work.dbeta = memset(scratch(bytes), 0, (size_t)bytes);
    in_parts(work.parts, backward_part, &work);
    learn_sums(turn, layer->beta, work.dbeta, work.parts);
    learn_sums(turn, layer->gamma, work.dgamma, work.parts);
    scratch_end(begun);
}
