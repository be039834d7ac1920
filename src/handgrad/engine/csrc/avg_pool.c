/* Average pooling: out = the mean of a window's pixels, of each channel; dy adds up d / window.
 *
 * A window of 0 is the whole image.
 */
#include "engine.h"

#include <string.h>

static int64_t numbers(const Shape *shape) { return (int64_t)shape->h * shape->w * shape->stride; }

typedef struct {
    Turn *turn;
    int parts;
} Work;

/* One image: its means, or into dy its pixels' shares of d. */
static void image(const Layer *layer, const real *y, real *out, const real *d, real *dy) {
    const Shape *in = &layer->in, *to = &layer->out;
    const int high = layer->pool ? layer->pool : in->h, wide = layer->pool ? layer->pool : in->w;
    const int64_t line = (int64_t)in->w * in->stride;
    const real share = 1 / (real)(high * wide);
    for (int i = 0; i < to->h; i++)
        for (int j = 0; j < to->w; j++)
            for (int c = 0; c < to->c; c += LANES) {
                const int64_t corner = i * layer->pool_step * line + (int64_t)j * layer->pool_step * in->stride + c;
                const int64_t at = ((int64_t)i * to->w + j) * to->stride + c;
                vec sum = {0};
                for (int k = 0; k < high; k++)
                    for (int l = 0; l < wide; l++) {
                        const int64_t pixel = corner + k * line + (int64_t)l * in->stride;
                        if (d) VEC(dy + pixel) += CVEC(d + at) * share;
                        else sum += CVEC(y + pixel);
                    }
                if (!d) VEC(out + at) = sum * share;
            }
}

static void forward_part(void *with, int part) {
    const Work *work = with;
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const int64_t n = turn->n, to = n * (part + 1) / work->parts;
    for (int64_t i = n * part / work->parts; i < to; i++)
        image(layer, turn->x + i * numbers(&layer->in), layer->output + i * numbers(&layer->out), NULL, NULL);
}

static void backward_part(void *with, int part) {
    const Work *work = with;
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const int64_t n = turn->n, to = n * (part + 1) / work->parts, size = numbers(&layer->in);
    for (int64_t i = n * part / work->parts; i < to; i++) {
        memset(turn->dx + i * size, 0, sizeof(real) * (size_t)size);
        image(layer, NULL, NULL, turn->d + i * numbers(&layer->out), turn->dx + i * size);
    }
}

static Work work_of(Turn *turn) {
    const double all = (double)turn->n * numbers(&turn->layer->in);
    return (Work){turn, MIN(worth_parts(turn->threads, all, 1 << 16), turn->n)};
}

void avg_pool_forward(Turn *turn) {
    Work work = work_of(turn);
    in_parts(work.parts, forward_part, &work);
}

void avg_pool_backward(Turn *turn) {
    Work work = work_of(turn);
    if (turn->dx) in_parts(work.parts, backward_part, &work);
}
