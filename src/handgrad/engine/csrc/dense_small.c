/* A dense layer of few numbers, on one thread: the formulas of dense.c, each a product of whole
 * tiles. Nothing is passed over: to look for zeros takes as long as to multiply them.
 */
#include "engine.h"

#include <string.h>

int is_small(const Layer *layer, int n) { return (int64_t)n * layer->in.c * layer->out.c <= 1 << 17; }

/* 0, step, 2 step, ...: where a product's rows or taps lie. */
static int32_t *multiples(int count, int step) {
    int32_t *found = scratch(sizeof(int32_t) * count);
    for (int i = 0; i < count; i++) found[i] = i * step;
    return found;
}

/* w (rows, M) in whole vectors. */
static real *in_vectors(const real *w, int rows, int M) {
    const int all = PADDED(M);
    real *padded = scratch(sizeof(real) * rows * all);
    for (int k = 0; k < rows; k++)
        for (int j = 0; j < all; j++) padded[k * all + j] = j < M ? w[k * M + j] : 0;
    return padded;
}

void dense_small_forward(Turn *turn) {
    const Scratch begun = scratch_begin();
    const Layer *layer = turn->layer;
    const int N = turn->n, K = layer->in.c, M = layer->out.c, all = PADDED(M), wide = layer->out.stride;
    const real *panel = in_vectors(layer->w->w, K, M);
    real *start = in_vectors(layer->b->w, 1, M);
    if (turn->source) {
        const int64_t range[] = {0, N, 0, K};
        take_rows(turn->source, &layer->in, (real *)turn->x, range);
        const real background = turn->source->background;
        for (int k = 0; k < K && background != 0; k++)
            for (int j = 0; j < all; j += LANES)
                VEC(start + j) += background * CVEC(panel + k * all + j);
    }
    product(&(Product){.a = turn->x, .b = panel, .rows = multiples(N, layer->in.stride),
                       .taps = multiples(K, 1), .P = N, .T = K, .vectors = all / LANES, .ldb = all,
                       .ldc = wide, .start = start, .c = layer->output});
    for (int i = 0; i < N * wide && layer->relu; i += LANES) {
        real *out = layer->output + i;
        VEC(out) = only(~(CVEC(out) <= 0), CVEC(out));      /* a NaN comes through */
    }
    scratch_end(begun);
}

/* d cut where the ReLU was closed; gives its sum over the examples. */
static real *cut(const Turn *turn) {
    const Layer *layer = turn->layer;
    const int wide = layer->out.stride;
    real *db = memset(scratch(sizeof(real) * wide), 0, sizeof(real) * (size_t)wide);
    for (int n = 0; n < turn->n; n++)
        for (int j = 0; j < wide; j += LANES) {
            const int at = n * wide + j;
            if (layer->relu) VEC(turn->d + at) = only(CVEC(layer->output + at) > 0, CVEC(turn->d + at));
            VEC(db + j) += CVEC(turn->d + at);
        }
    return db;
}

static void inputs_gradient(const Turn *turn) {
    const Layer *layer = turn->layer;
    const int K = layer->in.c, M = layer->out.c, all = PADDED(K);
    real *turned = scratch(sizeof(real) * M * all);
    for (int j = 0; j < M; j++)
        for (int k = 0; k < all; k++) turned[j * all + k] = k < K ? layer->w->w[k * M + j] : 0;
    product(&(Product){.a = turn->d, .b = turned, .rows = multiples(turn->n, layer->out.stride),
                       .taps = multiples(M, 1), .P = turn->n, .T = M, .vectors = all / LANES,
                       .ldb = all, .ldc = layer->in.stride, .c = turn->dx});
}

void dense_small_backward(Turn *turn) {
    const Scratch begun = scratch_begin();
    const Layer *layer = turn->layer;
    const int N = turn->n, K = layer->in.c, M = layer->out.c, all = PADDED(M);
    real *db = cut(turn), *start = scratch(sizeof(real) * all), *dw = scratch(sizeof(real) * K * all);
    for (int j = 0; j < all; j++) start[j] = turn->source ? turn->source->background * db[j] : 0;
    if (turn->dx) inputs_gradient(turn);
    product(&(Product){.a = turn->x, .b = turn->d, .rows = multiples(K, 1),
                       .taps = multiples(N, layer->in.stride), .P = K, .T = N,
                       .vectors = all / LANES, .ldb = layer->out.stride, .ldc = all,
                       .start = start, .c = dw});
    for (int k = 1; k < K && all != M; k++)
        for (int j = 0; j < M; j++) dw[k * M + j] = dw[k * all + j];
    turn->squares += learn(layer->w, dw, 0, (int64_t)K * M, turn);
    learn(layer->b, db, 0, M, turn);
    scratch_end(begun);
}
