/* Batch normalisation of each channel over all pixels of the batch, or feature over its examples.
 *
 *   out = gamma x_hat + beta,  x_hat = (x - mean) / sqrt(var + eps)
 *   dbeta = sum of d,  dgamma = sum of d x_hat
 *   dx = gamma / sqrt(var + eps) (d - dbeta / count - x_hat dgamma / count)
 *
 * Each part of the batch gives its mean and its squared distances from it, and they are merged in
 * their order (Chan et al., 1979). Distances are taken from a part's first pixel, so that what is
 * constant has its own mean, to the last bit, and a variance of 0.
 */
#include "engine.h"

#include <math.h>
#include <string.h>

enum { FEW = 256 };     /* pixels whose sums float32 may hold */

void moments_of(const real *y, int64_t pixels, int stride, Moments *moments) {
    moments->count = (double)pixels;
    for (int c = 0; c < stride; c += LANES) {
        const vec first = pixels ? CVEC(y + c) : (vec){0};
        double sum[VECTOR_BYTES / sizeof(real)] = {0}, square[VECTOR_BYTES / sizeof(real)] = {0};
        for (int64_t from = 0; from < pixels; from += FEW) {
            vec some = {0}, squares = {0};
            for (int64_t p = from; p < MIN(from + FEW, pixels); p++) {
                const vec away = CVEC(y + p * stride + c) - first;
                some += away;
                squares += away * away;
            }
            for (int lane = 0; lane < LANES; lane++) {
                sum[lane] += some[lane];
                square[lane] += squares[lane];
            }
        }
        for (int lane = 0; lane < LANES && c + lane < stride; lane++) {
            const double mean = pixels ? sum[lane] / (double)pixels : 0;
            moments->mean[c + lane] = (double)first[lane] + mean;
            moments->square[c + lane] = square[lane] - sum[lane] * mean;
        }
    }
}

static void take(Layer *layer, int c, real mean, real var) {
    layer->mean[c] = mean;
    layer->inverse[c] = 1 / (real)sqrt((double)(var + (real)layer->eps));
    layer->scale[c] = layer->gamma->w[c] * layer->inverse[c];
    layer->shift[c] = layer->beta->w[c];
}

/* Merge the parts; move the running statistics. */
void norm_settle(Layer *layer, const Moments *parts, int count, const real *offset) {
    const Shape *shape = layer->kind == CONV ? &layer->mid : &layer->in;
    const real keep = (real)layer->momentum;
    for (int c = 0; c < shape->c; c++) {
        double pixels = 0, away = 0, square = 0;
        for (int part = 0; part < count; part++) pixels += parts[part].count;
        for (int part = 0; part < count; part++)
            away += parts[part].count * (parts[part].mean[c] - parts[0].mean[c]) / pixels;
        for (int part = 0; part < count; part++) {
            const double distance = parts[part].mean[c] - parts[0].mean[c] - away;
            square += parts[part].square[c] + parts[part].count * distance * distance;
        }
        const real mean = (real)(parts[0].mean[c] + away);
        const real var = (real)(square < 0 ? 0 : square / pixels);
        take(layer, c, mean, var);
        const real whole = mean + (offset ? offset[c] : 0);
        layer->running_mean[c] = keep * layer->running_mean[c] + (1 - keep) * whole;
        layer->running_var[c] = keep * layer->running_var[c] + (1 - keep) * var;
    }
    for (int c = shape->c; c < shape->stride; c++)
        layer->mean[c] = layer->inverse[c] = layer->scale[c] = layer->shift[c] = 0;
}

void norm_for_tests(Layer *layer, const Shape *shape) {
    for (int c = 0; c < shape->c; c++) take(layer, c, layer->running_mean[c], layer->running_var[c]);
    for (int c = shape->c; c < shape->stride; c++)
        layer->mean[c] = layer->inverse[c] = layer->scale[c] = layer->shift[c] = 0;
}

/* d becomes dx. sums: dbeta / count, then dgamma / count, stride of each. */
void norm_gradient(const Layer *layer, const real *y, const double *sums, real *d, int64_t pixels) {
    const int stride = layer->kind == CONV ? layer->mid.stride : layer->in.stride;
    for (int c = 0; c < stride; c += LANES) {
        vec beta, gamma;
        for (int lane = 0; lane < LANES; lane++) {
            beta[lane] = (real)sums[c + lane];
            gamma[lane] = (real)sums[stride + c + lane] * layer->inverse[c + lane];
        }
        const vec mean = CVEC(layer->mean + c), scale = CVEC(layer->scale + c);
        for (int64_t p = c; p < pixels * stride; p += stride)
            VEC(d + p) = scale * (CVEC(d + p) - beta - (CVEC(y + p) - mean) * gamma);
    }
}

/* ---- alone ---------------------------------------------------------------------------------- */

typedef struct {
    Turn *turn;
    int parts;
    Moments *moments;
    double *sums;           /* of each part: of d, and of d x_hat */
} Work;

static int64_t pixels_before(const Work *work, int part) {
    const Shape *shape = &work->turn->layer->in;
    return (int64_t)work->turn->n * part / work->parts * shape->h * shape->w;
}

static void moments_part(void *with, int part) {
    Work *work = with;
    const int stride = work->turn->layer->in.stride;
    const int64_t from = pixels_before(work, part), to = pixels_before(work, part + 1);
    moments_of(work->turn->x + from * stride, to - from, stride, &work->moments[part]);
}

static void apply_part(void *with, int part) {
    Work *work = with;
    const Layer *layer = work->turn->layer;
    const int stride = layer->in.stride;
    const int64_t to = pixels_before(work, part + 1);
    for (int64_t p = pixels_before(work, part); p < to; p++)
        for (int c = 0; c < stride; c += LANES)
            VEC(layer->output + p * stride + c) =
                (CVEC(work->turn->x + p * stride + c) - CVEC(layer->mean + c)) * CVEC(layer->scale + c)
                + CVEC(layer->shift + c);
}

static void sums_part(void *with, int part) {
    Work *work = with;
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const int stride = layer->in.stride;
    double *sums = work->sums + (int64_t)part * 2 * stride;
    const int64_t to = pixels_before(work, part + 1);
    for (int c = 0; c < stride; c += LANES) {
        const vec mean = CVEC(layer->mean + c), inverse = CVEC(layer->inverse + c);
        for (int lane = 0; lane < LANES; lane++) sums[c + lane] = sums[stride + c + lane] = 0;
        for (int64_t from = pixels_before(work, part); from < to; from += FEW) {
            vec beta = {0}, gamma = {0};
            for (int64_t p = from; p < MIN(from + FEW, to); p++) {
                const vec d = CVEC(turn->d + p * stride + c);
                beta += d;
                gamma += d * ((CVEC(turn->x + p * stride + c) - mean) * inverse);
            }
            for (int lane = 0; lane < LANES; lane++) {
                sums[c + lane] += beta[lane];
                sums[stride + c + lane] += gamma[lane];
            }
        }
    }
}

static void gradient_part(void *with, int part) {
    Work *work = with;
    const Turn *turn = work->turn;
    const int stride = turn->layer->in.stride;
    const int64_t from = pixels_before(work, part), to = pixels_before(work, part + 1);
    memcpy(turn->dx + from * stride, turn->d + from * stride, sizeof(real) * (size_t)((to - from) * stride));
    norm_gradient(turn->layer, turn->x + from * stride, work->sums, turn->dx + from * stride, to - from);
}

static Work work_of(Turn *turn) {
    const Shape *shape = &turn->layer->in;
    const double numbers = (double)turn->n * shape->h * shape->w * shape->stride;
    return (Work){.turn = turn, .parts = MIN(worth_parts(turn->threads, numbers, 1 << 14), turn->n)};
}

void norm_forward(Turn *turn) {
    const Scratch begun = scratch_begin();
    Layer *layer = turn->layer;
    Work work = work_of(turn);
    const int stride = layer->in.stride;
    if (turn->training) {
        Moments moments[work.parts];
        double *numbers = scratch(sizeof(double) * 2 * stride * work.parts);
        for (int part = 0; part < work.parts; part++)
            moments[part] = (Moments){0, numbers + 2 * part * stride, numbers + (2 * part + 1) * stride};
        work.moments = moments;
        in_parts(work.parts, moments_part, &work);
        norm_settle(layer, moments, work.parts, NULL);
        } else norm_for_tests(layer, &layer->in);
    in_parts(work.parts, apply_part, &work);
    scratch_end(begun);
}

/* Add up the parts' sums; step gamma and beta; leave the means, for dx. */
void norm_backward(Turn *turn) {
    const Scratch begun = scratch_begin();
    Layer *layer = turn->layer;
    Work work = work_of(turn);
    const int stride = layer->in.stride;
    work.sums = scratch(sizeof(double) * 2 * stride * work.parts);
    in_parts(work.parts, sums_part, &work);
    const double count = (double)turn->n * layer->in.h * layer->in.w;
    norm_learn(turn, work.sums, work.parts, count, stride);
    if (turn->dx) in_parts(work.parts, gradient_part, &work);
    scratch_end(begun);
}

void norm_learn(Turn *turn, double *sums, int parts, double count, int stride) {
    const Scratch begun = scratch_begin();
    Layer *layer = turn->layer;
    real *gradient = scratch(sizeof(real) * 2 * stride);
    for (int c = 0; c < 2 * stride; c++) {
        for (int part = 1; part < parts; part++) sums[c] += sums[(int64_t)part * 2 * stride + c];
        gradient[c] = (real)sums[c];
        sums[c] /= count;
    }
    /* dx takes gamma as it was: scale holds it. */
    learn(layer->beta, gradient, 0, layer->beta->size, turn);
    learn(layer->gamma, gradient + stride, 0, layer->gamma->size, turn);
    scratch_end(begun);
}
