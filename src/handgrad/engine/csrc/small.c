/* Layers that look at one number at a time, and what moves numbers from place to place.
 *
 *   dropout  out = x mask, mask = draw < keep; in testing x keep:      dx = d mask
 *   flatten  out[n, c h w + p] = x[n, p, c]
 */
#include "engine.h"

#include <string.h>

static int64_t pixels(const Shape *shape) { return (int64_t)shape->h * shape->w; }

/* One draw a number, in the order of (N, C, H, W), as rng.random(x.shape) makes them. */
static void draw(const Turn *turn) {
    const Layer *layer = turn->layer;
    const Shape *shape = &layer->in;
    const Draws *draws = turn->draws;
    for (int64_t n = 0; n < turn->n; n++)
        for (int c = 0; c < shape->c; c++)
            for (int64_t p = 0; p < pixels(shape); p++) {
                const int64_t at = (n * pixels(shape) + p) * shape->stride + c;
                layer->winners[at] = draws->next_double(draws->state) < layer->keep;
            }
}

void dropout_forward(Turn *turn) {
    const Layer *layer = turn->layer;
    const int64_t count = turn->n * pixels(&layer->in) * layer->in.stride;
    const real keep = (real)layer->keep;
    const mask *kept = layer->winners;
    if (turn->training) draw(turn);
    for (int64_t i = 0; i < count; i++)
        layer->output[i] = turn->x[i] * (turn->training ? (real)kept[i] : keep);
}

/* A dropped unit's gradient is 0, also where d is not finite. */
void dropout_backward(Turn *turn) {
    const mask *kept = turn->layer->winners;
    const int64_t count = turn->n * pixels(&turn->layer->in) * turn->layer->in.stride;
    for (int64_t i = 0; turn->dx && i < count; i++) turn->dx[i] = kept[i] != 0 ? turn->d[i] : 0;
}

typedef struct {
    Turn *turn;
    int parts;
} Work;

static void forward_part(void *with, int part) {
    Work *work = with;
    const Layer *layer = work->turn->layer;
    const int64_t all = pixels(&layer->in), stride = layer->in.stride;
    const int64_t n = work->turn->n, to = n * (part + 1) / work->parts;
    for (int64_t i = n * part / work->parts; i < to; i++)
        transpose(work->turn->x + i * all * stride, stride, layer->output + i * layer->out.stride, all,
                  (const int64_t[]){all, layer->in.c});
}

static void backward_part(void *with, int part) {
    Work *work = with;
    const Layer *layer = work->turn->layer;
    const int64_t all = pixels(&layer->in), stride = layer->in.stride;
    const int64_t n = work->turn->n, to = n * (part + 1) / work->parts;
    for (int64_t i = n * part / work->parts; i < to; i++)
        transpose(work->turn->d + i * layer->out.stride, all, work->turn->dx + i * all * stride, stride,
                  (const int64_t[]){layer->in.c, all});
}

static int parts_of(const Turn *turn) {
    const double numbers = (double)turn->n * turn->layer->out.stride;
    return MIN(worth_parts(turn->threads, numbers, 1 << 16), turn->n);
}

void flatten_forward(Turn *turn) {
    Work work = {turn, parts_of(turn)};
    in_parts(work.parts, forward_part, &work);
}

void flatten_backward(Turn *turn) {
    Work work = {turn, parts_of(turn)};
    if (turn->dx) in_parts(work.parts, backward_part, &work);
}
