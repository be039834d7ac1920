/* Max pooling and ReLU: out = max(0, largest of a window's pixels), where each is wanted.
 *
 *   dy = d at the window's first largest pixel, if out > 0 or no ReLU follows; else 0
 *
 * The pool stands before the ReLU: the same function and gradient, on fewer pixels. The winner is
 * kept as its number within the window, -1 for none: a window that the ReLU has cut off, or whose
 * largest is NaN, pays nobody. A window of one pixel is a ReLU alone. Where a batch norm comes
 * first, its pixels are normalised on their way here, and never written.
 */
#include "engine.h"

#include <string.h>

Pool pool_of(const Layer *layer) {
    const int within = layer->kind == CONV;
    Pool pool = {.layer = layer, .in = within ? layer->mid : layer->in};
    if (layer->normed) {
        pool.mean = layer->mean;
        pool.scale = layer->scale;
        pool.shift = layer->shift;
    }
    return pool;
}

ALWAYS_INLINE void windows(const Pool *pool, const int size, const int normed, const real *y,
                           real *out, mask *winners, real *best) {
    const Layer *layer = pool->layer;
    const int stride = pool->in.stride, line = pool->in.w * stride, step = layer->pool_step;
    const Shape *to = &layer->out;
    for (int i = 0; i < to->h; i++)
        for (int j = 0; j < to->w; j++) {
            const real *corner = y + (int64_t)i * step * line + j * step * stride;
            const int64_t at = ((int64_t)i * to->w + j) * stride;
            for (int c = 0; c < stride; c += LANES) {
                vec mean = {0}, scale = {0}, largest = {0}, raw = {0};
                mask_vec winner = {0};
                if (normed) {
                    mean = CVEC(pool->mean + c);
                    scale = CVEC(pool->scale + c);
                }
                for (int k = 0, number = 0; k < size; k++)
                    for (int l = 0; l < size; l++, number++) {
                        const vec given = CVEC(corner + k * line + l * stride + c);
                        const vec pixel = normed ? (given - mean) * scale : given;
                        if (number == 0) {
                            largest = pixel;
                            raw = given;
                            continue;
                        }
                        const mask_vec more = (pixel > largest) | (pixel != pixel);
                        largest = choose(more, pixel, largest);
                        winner = (more & number) | (~more & winner);
                        if (normed) raw = choose(more, given, raw);
                    }
                if (normed) largest += CVEC(pool->shift + c);
                const mask_vec open = layer->relu ? largest > 0 : largest == largest;
                if (winners) MASK(winners + at + c) = winner | ~open;
                if (normed && best) VEC(best + at + c) = raw;
                if (layer->relu) largest = only(~(largest <= 0), largest);
                VEC(out + at + c) = largest;
            }
        }
}

void pool_image(const Pool *pool, const real *y, real *out, mask *winners, real *best) {
    const int size = pool->layer->pool, normed = pool->mean != NULL;
    if (size == 2 && !normed) windows(pool, 2, 0, y, out, winners, best);
    else if (size == 2) windows(pool, 2, 1, y, out, winners, best);
    else windows(pool, size, normed, y, out, winners, best);
}

/* Windows that touch write each of their pixels once; others add. What no window covers is 0. */
ALWAYS_INLINE void pay(const Pool *pool, const int size, const int apart, const real *d,
                       const mask *winners, real *dy) {
    const Layer *layer = pool->layer;
    const int stride = pool->in.stride, line = pool->in.w * stride, step = layer->pool_step;
    const Shape *to = &layer->out;
    for (int i = 0; i < to->h; i++)
        for (int j = 0; j < to->w; j++) {
            real *corner = dy + (int64_t)i * step * line + j * step * stride;
            const int64_t at = ((int64_t)i * to->w + j) * stride;
            for (int c = 0; c < stride; c += LANES) {
                const vec paid = CVEC(d + at + c);
                const mask_vec winner = CMASK(winners + at + c);
                for (int k = 0, number = 0; k < size; k++)
                    for (int l = 0; l < size; l++, number++) {
                        real *pixel = corner + k * line + l * stride + c;
                        const vec wins = only(winner == number, paid);
                        VEC(pixel) = apart ? wins : CVEC(pixel) + wins;
                    }
            }
        }
}

void unpool_image(const Pool *pool, const real *d, const mask *winners, real *dy) {
    const Layer *layer = pool->layer;
    const int size = layer->pool, step = layer->pool_step;
    const Shape *in = &pool->in;
    if (size != step || layer->out.h * step != in->h || layer->out.w * step != in->w)
        memset(dy, 0, sizeof(real) * (size_t)((int64_t)in->h * in->w * in->stride));
    if (size == 2 && step >= size) pay(pool, 2, 1, d, winners, dy);
    else pay(pool, size, step >= size, d, winners, dy);
}

/* ---- alone ---------------------------------------------------------------------------------- */

typedef struct {
    Turn *turn;
    int parts;
} Work;

static int64_t numbers(const Shape *shape) { return (int64_t)shape->h * shape->w * shape->stride; }

static void forward_part(void *with, int part) {
    Work *work = with;
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const Pool pool = pool_of(layer);
    for (int64_t n = (int64_t)turn->n * part / work->parts;
         n < (int64_t)turn->n * (part + 1) / work->parts; n++)
        pool_image(&pool, turn->x + n * numbers(&layer->in), layer->output + n * numbers(&layer->out),
                   turn->training ? layer->winners + n * numbers(&layer->out) : NULL,
                   NULL);
}

static void backward_part(void *with, int part) {
    Work *work = with;
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const Pool pool = pool_of(layer);
    for (int64_t n = (int64_t)turn->n * part / work->parts;
         n < (int64_t)turn->n * (part + 1) / work->parts; n++)
        unpool_image(&pool, turn->d + n * numbers(&layer->out),
                     layer->winners + n * numbers(&layer->out),
                     turn->dx + n * numbers(&layer->in));
}

static int parts_of(const Turn *turn) {
    return MIN(worth_parts(turn->threads, (double)turn->n * numbers(&turn->layer->in), 1 << 16), turn->n);
}

void pool_forward(Turn *turn) {
    Work work = {turn, parts_of(turn)};
    in_parts(work.parts, forward_part, &work);
}

void pool_backward(Turn *turn) {
    Work work = {turn, parts_of(turn)};
    if (turn->dx) in_parts(work.parts, backward_part, &work);
}
