/* A convolution, then batch norm, max pool and ReLU where there are any, a few images at a time.
 *
 *   mid[n, i, j, f] = sum over k, l, c of x[n, s i + k - pad, s j + l - pad, c] w[f, c, k, l]  (+ b[f])
 *   dw[f, c, k, l]  = sum over n, i, j of x[n, s i + k - pad, s j + l - pad, c] dmid[n, i, j, f]
 *   dx              = dmid, s apart in a frame of zeros, convolved with w turned by 180 degrees
 *
 * Each is one product (product.c) that reads pixels where they lie: of taps, which are the places
 * of a filter's numbers in the image, and of places, which are those of its corners. mid is forgotten
 * where no batch norm asks for it; its gradient lives while a few images are in the cache.
 *
 * In front of a batch norm images far from zero come with a background taken away, and their frame
 * with it: mid is less by the background times the sum of a filter, which the norm takes away anyway
 * (only its running mean is told), and dmid adds up to 0, so that dw is the same.
 */
#include "engine.h"

#include <string.h>

/* ---- the plain loops ------------------------------------------------------------------------ */

/* Of a convolution alone, without norm, pool and ReLU: mid is its output. */
void conv_plainly(const Turn *turn) {
    const Layer *q = turn->layer;
    real *mid = q->output;
    const int s = q->size, C = q->in.c;
    for (int n = 0; n < turn->n; n++)
        for (int i = 0; i < q->mid.h; i++)
            for (int j = 0; j < q->mid.w; j++)
                for (int f = 0; f < q->mid.c; f++) {
                    real sum = q->b ? q->b->w[f] : 0;
                    for (int k = 0; k < s; k++)
                        for (int l = 0; l < s; l++) {
                            const int row = i * q->step + k - q->padding;
                            const int column = j * q->step + l - q->padding;
                            if (row < 0 || row >= q->in.h || column < 0 || column >= q->in.w) continue;
                            for (int c = 0; c < C; c++)
                                sum += turn->x[(((int64_t)n * q->in.h + row) * q->in.w + column)
                                               * q->in.stride + c]
                                       * q->w->w[((f * C + c) * s + k) * s + l];
                        }
                    mid[(((int64_t)n * q->mid.h + i) * q->mid.w + j) * q->mid.stride + f] = sum;
                }
}

/* ---- places and taps ---------------------------------------------------------------------------- */

static int64_t pixels(const Shape *shape) { return (int64_t)shape->h * shape->w; }
static int64_t numbers(const Shape *shape) { return pixels(shape) * shape->stride; }
static int taps_of(const Layer *q) { return q->size * q->size * q->in.c; }
static int back_taps_of(const Layer *q) { return q->size * q->size * q->mid.c; }

/* The image in its frame of zeros; the gradient, s apart, in one that every filter fits into. */
static Shape frame_of(const Layer *q) {
    return (Shape){q->in.c, q->in.h + 2 * q->padding, q->in.w + 2 * q->padding, q->in.stride};
}
static Shape back_frame_of(const Layer *q) {
    return (Shape){q->mid.c, q->in.h + q->size - 1, q->in.w + q->size - 1, q->mid.stride};
}

static void fill_taps(const Layer *q, const Shape *frame, int32_t *taps) {
    for (int k = 0; k < q->size; k++)
        for (int l = 0; l < q->size; l++)
            for (int c = 0; c < frame->c; c++) *taps++ = (k * frame->w + l) * frame->stride + c;
}

static void fill_places(int images, const Shape *to, int step, const Shape *frame, int32_t *places) {
    for (int n = 0; n < images; n++)
        for (int i = 0; i < to->h; i++)
            for (int j = 0; j < to->w; j++)
                *places++ = (int32_t)(n * numbers(frame)
                                      + ((int64_t)i * frame->w + j) * step * frame->stride);
}

void conv_prepare(Layer *q) {
    q->mid = (Shape){q->out.c, (q->in.h + 2 * q->padding - q->size) / q->step + 1,
                     (q->in.w + 2 * q->padding - q->size) / q->step + 1, q->out.stride};
    const Shape frame = frame_of(q), back = back_frame_of(q);
    /* Of very small images several, so that the tiles of their products are filled. */
    q->images = (int32_t)MAX(1, 128 / MAX(1, pixels(&q->mid)));
    q->taps = room(sizeof(int32_t) * taps_of(q));
    q->places = room(sizeof(int32_t) * q->images * pixels(&q->mid));
    q->back_taps = room(sizeof(int32_t) * back_taps_of(q));
    q->back_places = room(sizeof(int32_t) * q->images * pixels(&q->in));
    fill_taps(q, &frame, q->taps);
    fill_places(q->images, &q->mid, q->step, &frame, q->places);
    fill_taps(q, &back, q->back_taps);
    fill_places(q->images, &q->in, 1, &back, q->back_places);
}

/* ---- what a part of the batch needs ------------------------------------------------------------- */

typedef struct {
    Turn *turn;
    int parts;
    Moments *moments;
    double *sums;               /* of each part: dbeta, dgamma */
    real *dw, *db;              /* of each part: (taps, stride), (stride) */
    double *squares;
} Work;

enum { PAIR = 2 };              /* vectors that a tile is wide */

/* Filters as product() takes them: for each pair of vectors, a line a tap. */
static void packed(const Layer *q, real *filters) {
    const int s = q->size, C = q->in.c, taps = taps_of(q), wide = q->mid.stride;
    memset(filters, 0, sizeof(real) * (size_t)taps * (size_t)wide);
    for (int at = 0; at < wide; at += PAIR * LANES) {
        const int width = MIN(PAIR * LANES, wide - at);
        for (int f = at; f < MIN(at + width, q->mid.c); f++)
            for (int c = 0; c < C; c++)
                for (int t = 0; t < s * s; t++)
                    filters[(int64_t)at * taps + (int64_t)(t * C + c) * width + f - at] =
                        q->w->w[(f * C + c) * s * s + t];
    }
}

/* The same turned by 180 degrees, from the gradient's channels to the image's. */
static void packed_back(const Layer *q, real *filters) {
    const int s = q->size, C = q->in.c, F = q->mid.c, taps = back_taps_of(q), wide = PADDED(q->in.stride);
    memset(filters, 0, sizeof(real) * (size_t)taps * (size_t)wide);
    for (int at = 0; at < wide; at += PAIR * LANES) {
        const int width = MIN(PAIR * LANES, wide - at);
        for (int f = 0; f < F; f++)
            for (int c = at; c < MIN(at + width, C); c++)
                for (int t = 0; t < s * s; t++)
                    filters[(int64_t)at * taps + (int64_t)(t * F + f) * width + c - at] =
                        q->w->w[(f * C + c) * s * s + s * s - 1 - t];
    }
}

/* All columns of a product with packed filters. */
static void convolved(Product q, const real *filters, int wide) {
    real *c = q.c;
    const real *start = q.start;
    for (int at = 0; at < wide; at += PAIR * LANES) {
        q.ldb = MIN(PAIR * LANES, wide - at);
        q.vectors = q.ldb / LANES;
        q.b = filters + (int64_t)at * q.T;
        q.c = c + at;
        q.start = start ? start + at : NULL;
        product(&q);
    }
}

/* What is around images is zero, less the background. */
static void clear(const Turn *turn, const Shape *frame, real *frames) {
    const real background = turn->source ? turn->source->background : 0;
    const int64_t count = turn->layer->images * numbers(frame);
    for (int64_t i = 0; i < count; i++) frames[i] = -background;
}

/* Images from, ... in their frames; those in `frames`, if there are any around them. */
static const real *framed(const Turn *turn, int from, int count, real *frames) {
    const Layer *q = turn->layer;
    const Shape frame = frame_of(q);
    const real *x = turn->x + from * numbers(&q->in);
    if (q->padding == 0) return x;
    const int64_t line = (int64_t)q->in.w * q->in.stride;
    for (int n = 0; n < count; n++)
        for (int i = 0; i < q->in.h; i++)
            memcpy(frames + n * numbers(&frame)
                       + ((int64_t)(i + q->padding) * frame.w + q->padding) * frame.stride,
                   x + n * numbers(&q->in) + i * line, sizeof(real) * (size_t)line);
    return frames;
}

static void part_of(const Work *work, int part, int *from, int *to) {
    *from = (int)((int64_t)work->turn->n * part / work->parts);
    *to = (int)((int64_t)work->turn->n * (part + 1) / work->parts);
}

/* ---- forward ------------------------------------------------------------------------------------ */

static void forward_part(void *with, int part) {
    const Scratch begun = scratch_begin();
    Work *work = with;
    Turn *turn = work->turn;
    const Layer *q = turn->layer;
    const Shape frame = frame_of(q);
    const int wide = q->mid.stride, statistics = q->normed && turn->training;
    const Pool pool = pool_of(q);
    int from, to;
    part_of(work, part, &from, &to);
    if (turn->source) {
        const int64_t range[] = {from, to, 0, (int64_t)q->in.c * pixels(&q->in)};
        take_rows(turn->source, &q->in, (real *)turn->x, range);
    }
    real *filters = scratch(sizeof(real) * (int64_t)taps_of(q) * wide);
    real *frames = scratch(sizeof(real) * q->images * numbers(&frame));
    real *few = scratch(sizeof(real) * q->images * numbers(&q->mid));
    real *start = scratch(sizeof(real) * wide);
    packed(q, filters);
    clear(turn, &frame, frames);
    memset(start, 0, sizeof(real) * (size_t)wide);
    if (q->b) memcpy(start, q->b->w, sizeof(real) * (size_t)q->mid.c);
    for (int n = from; n < to; n += q->images) {
        const int count = MIN(q->images, to - n);
        real *mid = statistics ? q->kept + n * numbers(&q->mid) : few;
        convolved((Product){.a = framed(turn, n, count, frames), .rows = q->places, .taps = q->taps,
                            .P = (int)(count * pixels(&q->mid)), .T = taps_of(q), .ldc = wide,
                            .start = start, .c = mid}, filters, wide);
        for (int i = 0; i < count && !statistics; i++)
            pool_image(&pool, mid + i * numbers(&q->mid), q->output + (n + i) * numbers(&q->out),
                       turn->training ? q->winners + (n + i) * numbers(&q->out) : NULL, NULL);
    }
    if (statistics)
        moments_of(q->kept + from * numbers(&q->mid), (to - from) * pixels(&q->mid), wide,
                   &work->moments[part]);
    scratch_end(begun);
}

static void pool_part(void *with, int part) {
    Work *work = with;
    const Layer *q = work->turn->layer;
    const Pool pool = pool_of(q);
    int from, to;
    part_of(work, part, &from, &to);
    for (int n = from; n < to; n++)
        pool_image(&pool, q->kept + n * numbers(&q->mid), q->output + n * numbers(&q->out),
                   q->winners + n * numbers(&q->out), q->best + n * numbers(&q->out));
}

static Work work_of(Turn *turn) {
    const Layer *q = turn->layer;
    const double products = (double)turn->n * pixels(&q->mid) * taps_of(q) * q->mid.c;
    return (Work){.turn = turn, .parts = MIN(worth_parts(turn->threads, products, 1 << 17), turn->n)};
}

void conv_forward(Turn *turn) {
    const Scratch begun = scratch_begin();
    Layer *q = turn->layer;
    Work work = work_of(turn);
    if (!q->normed || !turn->training) {
        if (q->normed) norm_for_tests(q, &q->mid);
        in_parts(work.parts, forward_part, &work);
        scratch_end(begun);
        return;
    }
    const int stride = q->mid.stride;
    Moments moments[work.parts];
    double *space = scratch(sizeof(double) * 2 * stride * work.parts);
    for (int part = 0; part < work.parts; part++)
        moments[part] = (Moments){0, space + 2 * part * stride, space + (2 * part + 1) * stride};
    work.moments = moments;
    in_parts(work.parts, forward_part, &work);
    real *offset = scratch(sizeof(real) * stride);
    const int64_t one = (int64_t)q->size * q->size * q->in.c;
    for (int f = 0; f < q->mid.c; f++) {
        double sum = 0;
        for (int64_t i = f * one; i < (f + 1) * one; i++) sum += (double)q->w->w[i];
        offset[f] = turn->source ? (real)(sum * (double)turn->source->background) : 0;
    }
    norm_settle(q, moments, work.parts, offset);
    in_parts(work.parts, pool_part, &work);
    scratch_end(begun);
}

/* ---- backward ------------------------------------------------------------------------------------ */

/* Sums over the winners that are paid: of d, and with a norm of d x_hat. */
static void sums_part(void *with, int part) {
    Work *work = with;
    const Turn *turn = work->turn;
    const Layer *q = turn->layer;
    const int stride = q->out.stride;
    double *sums = work->sums + (int64_t)part * 2 * stride;
    int from, to;
    part_of(work, part, &from, &to);
    memset(sums, 0, sizeof(double) * 2 * (size_t)stride);
    for (int n = from; n < to; n++)
        for (int c = 0; c < stride; c += LANES) {
            const vec mean = q->normed ? CVEC(q->mean + c) : (vec){0};
            vec beta = {0}, gamma = {0};
            const int64_t first = n * numbers(&q->out) + c;
            for (int64_t p = first; p < first + numbers(&q->out); p += stride) {
                const vec d = only(CMASK(q->winners + p) >= 0, CVEC(turn->d + p));
                beta += d;
                if (q->normed) gamma += d * (CVEC(q->best + p) - mean);
            }
            for (int lane = 0; lane < LANES; lane++) {
                sums[c + lane] += beta[lane];
                if (q->normed) sums[stride + c + lane] += gamma[lane] * (double)q->inverse[c + lane];
            }
        }
}

/* dmid in its frame: each number of some images s apart from the next, at the edge what is seen. */
static void spread_out(const Layer *q, const real *dmid, int count, real *frames) {
    const Shape frame = back_frame_of(q);
    const int around = q->size - 1 - q->padding, stride = q->mid.stride;
    for (int n = 0; n < count; n++)
        for (int i = 0; i < q->mid.h; i++)
            for (int j = 0; j < q->mid.w; j++) {
                const int row = i * q->step + around, column = j * q->step + around;
                if (row < 0 || row >= frame.h || column < 0 || column >= frame.w) continue;
                memcpy(frames + n * numbers(&frame) + ((int64_t)row * frame.w + column) * stride,
                       dmid + (n * pixels(&q->mid) + (int64_t)i * q->mid.w + j) * stride,
                       sizeof(real) * (size_t)stride);
            }
}

/* dw (taps, stride) of a few images, some pixels at a time: so many of dmid stay in the L1 cache. */
static void filters_gradient(const Layer *q, const real *x, const real *dmid, int count, real *dw) {
    enum { SOME = 128 };
    const int all = (int)(count * pixels(&q->mid)), wide = q->mid.stride;
    for (int p = 0; p < all; p += SOME) {
        const Product some = {.a = x, .b = dmid + (int64_t)p * wide, .rows = q->taps,
                              .taps = q->places + p, .P = taps_of(q), .T = MIN(SOME, all - p),
                              .vectors = wide / LANES, .ldb = wide, .ldc = wide, .add = 1, .c = dw};
        product(&some);
    }
}

static void backward_part(void *with, int part) {
    const Scratch begun = scratch_begin();
    Work *work = with;
    const Turn *turn = work->turn;
    const Layer *q = turn->layer;
    const Shape frame = frame_of(q), back = back_frame_of(q);
    const int wide = q->mid.stride, below = PADDED(q->in.stride);
    const Pool pool = pool_of(q);
    int from, to;
    part_of(work, part, &from, &to);
    real *filters = scratch(sizeof(real) * (int64_t)back_taps_of(q) * below);
    real *frames = scratch(sizeof(real) * (q->images * numbers(&frame) + LANES));
    real *back_frames = scratch(sizeof(real) * q->images * numbers(&back));
    real *dmid = scratch(sizeof(real) * q->images * numbers(&q->mid));
    real *dw = work->dw + (int64_t)part * taps_of(q) * wide;
    if (turn->dx) packed_back(q, filters);
    const int by_winners = !turn->dx && winners_fit(q);
    const int64_t filter = by_winners ? winners_numbers(q) : 0;
    real *won = scratch(sizeof(real) * q->mid.c * filter);
    memset(won, 0, sizeof(real) * (size_t)(q->mid.c * filter));
    clear(turn, &frame, frames);
    memset(back_frames, 0, sizeof(real) * (size_t)(q->images * numbers(&back)));
    memset(dw, 0, sizeof(real) * (size_t)(taps_of(q) * wide));
    for (int n = from; n < to; n += q->images) {
        const int count = MIN(q->images, to - n);
        const real *x = framed(turn, n, count, frames);
        for (int i = 0; i < count && by_winners; i++)
            winners_gradient(q, x + i * numbers(&frame), turn->d + (n + i) * numbers(&q->out),
                             q->winners + (n + i) * numbers(&q->out), won);
        if (by_winners) continue;
        for (int i = 0; i < count; i++)
            unpool_image(&pool, turn->d + (n + i) * numbers(&q->out),
                         q->winners + (n + i) * numbers(&q->out), dmid + i * numbers(&q->mid));
        if (q->normed)
            norm_gradient(q, q->kept + n * numbers(&q->mid), work->sums, dmid, count * pixels(&q->mid));
        filters_gradient(q, x, dmid, count, dw);
        if (!turn->dx) continue;
        spread_out(q, dmid, count, back_frames);
        convolved((Product){.a = back_frames, .rows = q->back_places, .taps = q->back_taps,
                            .P = (int)(count * pixels(&q->in)), .T = back_taps_of(q),
                            .ldc = q->in.stride, .c = turn->dx + n * numbers(&q->in)},
                  filters, below);
    }
    if (by_winners) winners_in_taps(q, won, dw);
    scratch_end(begun);
}

/* The parts' dw (taps, stride), added up and in the order of w; step it. */
static void learn_filters(Turn *turn, const Work *work) {
    const Scratch begun = scratch_begin();
    const Layer *q = turn->layer;
    const int s = q->size, C = q->in.c, wide = q->mid.stride;
    const int64_t one = (int64_t)taps_of(q) * wide;
    for (int part = 1; part < work->parts; part++)
        for (int64_t i = 0; i < one; i++) work->dw[i] += work->dw[part * one + i];
    real *dw = scratch(sizeof(real) * q->w->size);
    for (int f = 0; f < q->mid.c; f++)
        for (int c = 0; c < C; c++)
            for (int t = 0; t < s * s; t++)
                dw[(f * C + c) * s * s + t] = work->dw[(int64_t)(t * C + c) * wide + f];
    turn->squares += learn(q->w, dw, 0, q->w->size, turn);
    scratch_end(begun);
}

void conv_backward(Turn *turn) {
    const Scratch begun = scratch_begin();
    const Layer *q = turn->layer;
    Work work = work_of(turn);
    const int stride = q->mid.stride;
    work.sums = scratch(sizeof(double) * 2 * stride * work.parts);
    work.dw = scratch(sizeof(real) * (int64_t)taps_of(q) * stride * work.parts);
    if (q->normed || q->b) in_parts(work.parts, sums_part, &work);
    if (q->normed) norm_learn(turn, work.sums, work.parts, (double)turn->n * pixels(&q->mid), stride);
    in_parts(work.parts, backward_part, &work);
    learn_filters(turn, &work);
    if (q->b) {
        real *db = scratch(sizeof(real) * stride);
        for (int c = 0; c < stride; c++) {
            double sum = 0;
            for (int part = 0; part < work.parts; part++) sum += work.sums[(int64_t)part * 2 * stride + c];
            db[c] = (real)sum;
        }
        learn(q->b, db, 0, q->b->size, turn);
        }
    scratch_end(begun);
}
