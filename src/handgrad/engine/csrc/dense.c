/* A dense layer: out = x w + b, cut at 0 where a ReLU follows.
 *
 *   dx = d w^T     dw = x^T d     db = sum of d over the examples,     d cut where out is not > 0
 *
 * The features are divided among the threads: each has the same rows of w in the forward pass, in
 * the backward pass and in their step, in its own cache. A block of rows of w is brought into
 * panels that stay in the L1 cache, and multiplied with those numbers of x that are not zero. The
 * gradient of a block of weights is made, used to step them, and forgotten.
 */
#include "engine.h"

#include <string.h>

/* ---- the plain loops ------------------------------------------------------------------------ */

void dense_plainly(const Turn *turn) {
    const Layer *layer = turn->layer;
    const Param *w = layer->w, *b = layer->b;
    for (int n = 0; n < turn->n; n++)
        for (int m = 0; m < layer->out.c; m++) {
            real sum = b->w[m];
            for (int k = 0; k < layer->in.c; k++)
                sum += turn->x[(int64_t)n * layer->in.stride + k] * w->w[(int64_t)k * layer->out.c + m];
            layer->output[(int64_t)n * layer->out.stride + m] = layer->relu && sum <= 0 ? 0 : sum;
        }
}

/* ---- what the fast ones share ----------------------------------------------------------------- */

enum { WORD = 64 };     /* rows of a panel, bits of a word, rows that a panel is multiplied with */

static uint64_t first_bits(int count) { return count < WORD ? ((uint64_t)1 << count) - 1 : ~(uint64_t)0; }

/* Which numbers of x (rows, depth) are not zero: a word a row, a bit each. */
static void words_of(const real *x, int64_t ldx, int rows, int depth, uint64_t *words) {
    for (int r = 0; r < rows; r++) {
        const real *row = x + r * ldx;
        uint64_t word = 0;
        int k = 0;
        for (; k + LANES <= depth; k += LANES) word |= bits_of(CVEC(row + k) != 0) << k;
        for (; k < depth; k++) word |= (uint64_t)(row[k] != 0) << k;
        words[r] = word;
    }
}

/* The words of a matrix's columns from those of its rows: ever smaller corners change places. */
static void turn_words(uint64_t *words) {
    uint64_t low = 0xFFFFFFFF;
    for (int half = 32; half; half >>= 1, low ^= low << half)
        for (int r = 0; r < WORD; r = ((r | half) + 1) & ~half) {
            const uint64_t change = ((words[r] >> half) ^ words[r | half]) & low;
            words[r] ^= change << half;
            words[r | half] ^= change;
        }
}

/* Whether all numbers are finite: x - x is 0, or NaN. */
static int all_finite(const real *x, int64_t count) {
    vec sum = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) sum += CVEC(x + i) - CVEC(x + i);
    real rest = 0;
    for (; i < count; i++) rest += x[i] - x[i];
    for (int lane = 0; lane < LANES; lane++) rest += sum[lane];
    return rest == 0;
}

/* Columns in panels of as even a width as may be. */
static int panel_width(int vectors) {
    int panels = (vectors + WIDE - 1) / WIDE;
    return (vectors + panels - 1) / panels;
}

/* Rows of w (rows, M), columns at .. at + width, side by side in whole vectors. */
static void panel_of(const real *w, int M, int rows, int at, int width, real *panel) {
    const int columns = MIN(width, M - at);
    for (int k = 0; k < rows; k++, panel += width) {
        const real *row = w + (int64_t)k * M + at;
        int j = 0;
        for (; j + LANES <= columns; j += LANES) VEC(panel + j) = CVEC(row + j);
        for (; j < columns; j++) panel[j] = row[j];
        for (; j < width; j++) panel[j] = 0;
    }
}

/* The same of w^T: panel (columns, width) from w (rows, M), columns at .. at + columns. */
static void panel_of_columns(const real *w, int M, int rows, int at, int columns, real *panel) {
    const int width = PADDED(rows);
    transpose(w + at, M, panel, width, (const int64_t[]){rows, columns});
    for (int k = rows; k < width; k++)
        for (int j = 0; j < columns; j++) panel[(int64_t)j * width + k] = 0;
}

/* What a zero is multiplied with must be finite: 0 * NaN is NaN. Where it is not, nothing is passed
 * over. */
static void keep_zeros(uint64_t *words, int rows, int depth) {
    for (int r = 0; r < rows; r++) words[r] = first_bits(depth);
}

/* So many rows at a time, of n, that the last are as many as the others. */
static int even_share(int n) {
    const int shares = (n + WORD - 1) / WORD;
    return shares ? (n + shares - 1) / shares : 1;
}

typedef struct {
    Turn *turn;
    int parts, finishers;           /* of the features; of the examples */
    int64_t line;                   /* numbers of one part's sums */
    real *sums, *lifts, *db;
    double *squares;
} Work;

static void share(int n, int part, int parts, int *from, int *to) {
    int pieces = (n + 15) / 16;     /* whole vectors, and cache lines of no other thread's */
    *from = MIN(n, (int)((int64_t)pieces * part / parts) * 16);
    *to = MIN(n, (int)((int64_t)pieces * (part + 1) / parts) * 16);
}

/* ---- forward ------------------------------------------------------------------------------------ */

/* Some features' share of all sums; with a background, of its product with w too. */
static void forward_part(void *with, int part) {
    const Scratch begun = scratch_begin();
    Work *work = with;
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const int N = turn->n, M = layer->out.c, wide = layer->out.stride, ldx = layer->in.stride;
    const int all = PADDED(M), width = panel_width(all / LANES) * LANES;
    const real background = turn->source ? turn->source->background : 0;
    int from, to;
    share(layer->in.c, part, work->parts, &from, &to);
    if (turn->source) {
        const int64_t range[] = {0, N, from, to};
        take_rows(turn->source, &layer->in, (real *)turn->x, range);
    }
    real *sums = part ? work->sums + (part - 1) * work->line : layer->output;
    real *lift = work->lifts + (int64_t)part * wide;
    memset(sums, 0, sizeof(real) * (size_t)(N * wide));
    memset(lift, 0, sizeof(real) * (size_t)wide);
    real *panel = scratch(sizeof(real) * WORD * WIDE * LANES);
    uint64_t *words = scratch((int64_t)sizeof(uint64_t) * N);
    for (int k = from; k < to; k += WORD) {
        const int depth = MIN(WORD, to - k);
        const real *w = layer->w->w + (int64_t)k * M, *x = turn->x + k;
        if (all_finite(w, (int64_t)depth * M)) words_of(x, ldx, N, depth, words);
        else keep_zeros(words, N, depth);
        for (int at = 0; at < all; at += width) {
            const int columns = MIN(width, all - at);
            panel_of(w, M, depth, at, width, panel);
            sparse_product(&(Sparse){x, panel, words, ldx, 1, N, columns / LANES, width, wide, sums + at});
            for (int i = 0; i < depth && background != 0; i++)
                for (int j = 0; j < columns; j++) lift[at + j] += background * panel[i * width + j];
        }
    }
    scratch_end(begun);
}

/* Some examples' sums of all parts, with their bias, and cut. */
static void finish_part(void *with, int part) {
    Work *work = with;
    const Layer *layer = work->turn->layer;
    const int wide = layer->out.stride;
    const int64_t n = work->turn->n, from = n * part / work->finishers * wide;
    const int64_t to = n * (part + 1) / work->finishers * wide;
    for (int64_t row = from; row < to; row += wide)
        for (int m = 0; m < wide; m += LANES) {
            vec sum = CVEC(layer->output + row + m) + CVEC(work->lifts + m);
            for (int p = 0; p < work->parts - 1; p++)
                sum += CVEC(work->sums + p * work->line + row + m);
            if (layer->relu) sum = only(~(sum <= 0), sum);   /* a NaN comes through */
            VEC(layer->output + row + m) = sum;
        }
}

static Work work_of(Turn *turn) {
    const Layer *layer = turn->layer;
    Work work = {.turn = turn, .line = (int64_t)turn->n * layer->out.stride};
    const double products = (double)turn->n * layer->in.c * layer->out.c;
    work.parts = MIN(worth_parts(turn->threads, products, 1 << 18), (layer->in.c + 15) / 16);
    work.finishers = worth_parts(turn->threads, (double)work.line * work.parts, 1 << 16);
    work.finishers = MIN(work.finishers, MAX(turn->n, 1));
    return work;
}

void dense_forward(Turn *turn) {
    if (is_small(turn->layer, turn->n)) {
        dense_small_forward(turn);
        return;
    }
    const Scratch begun = scratch_begin();
    const Layer *layer = turn->layer;
    Work work = work_of(turn);
    const int wide = layer->out.stride;
    work.sums = scratch(sizeof(real) * (work.parts - 1) * work.line);
    work.lifts = scratch(sizeof(real) * work.parts * wide);
    in_parts(work.parts, forward_part, &work);
    for (int part = 1; part < work.parts; part++)
        for (int m = 0; m < wide; m++) work.lifts[m] += work.lifts[(int64_t)part * wide + m];
    for (int m = 0; m < layer->out.c; m++) work.lifts[m] += layer->b->w[m];
    in_parts(work.finishers, finish_part, &work);
    scratch_end(begun);
}

/* ---- backward ------------------------------------------------------------------------------------ */

/* Cut d where the ReLU was closed, and add it up over the examples, some columns of it. */
static void cut_part(void *with, int part) {
    Work *work = with;
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const int wide = layer->out.stride, vectors = wide / LANES;
    const int from = vectors * part / work->finishers * LANES;
    const int to = vectors * (part + 1) / work->finishers * LANES;
    memset(work->db + from, 0, sizeof(real) * (size_t)(to - from));
    for (int64_t n = 0; n < turn->n; n++)
        for (int m = from; m < to; m += LANES) {
            real *d = turn->d + n * wide + m;
            const vec cut = only(CVEC(layer->output + n * wide + m) > 0, CVEC(d));
            if (layer->relu) VEC(d) = cut;
            VEC(work->db + m) += layer->relu ? cut : CVEC(d);
        }
}

/* d (N, wide) as panels (N, width), one after the other. */
typedef struct {
    real *panels;
    int width, is_finite;
} Paid;

static Paid paid_of(const Turn *turn) {
    const int N = turn->n, all = PADDED(turn->layer->out.c);
    Paid paid = {.width = panel_width(all / LANES) * LANES, .is_finite = 1};
    real *panel = paid.panels = scratch(sizeof(real) * (int64_t)N * (all + paid.width));
    for (int at = 0; at < all; at += paid.width, panel += (int64_t)N * paid.width) {
        panel_of(turn->d, turn->layer->out.stride, N, at, paid.width, panel);
        paid.is_finite &= all_finite(panel, (int64_t)N * paid.width);
    }
    return paid;
}

/* dx of features k .. k + some: d times those rows of w, turned. */
static void inputs_gradient(const Turn *turn, int k, int some, real *panel) {
    const Scratch begun = scratch_begin();
    const Layer *layer = turn->layer;
    const int N = turn->n, M = layer->out.c, ldx = layer->in.stride, ldd = layer->out.stride;
    const real *w = layer->w->w + (int64_t)k * M;
    const int is_finite = all_finite(w, (int64_t)some * M);
    uint64_t *words = scratch((int64_t)sizeof(uint64_t) * N);
    for (int64_t n = 0; n < N; n++)
        memset(turn->dx + n * ldx + k, 0, sizeof(real) * (size_t)PADDED(some));
    for (int m = 0; m < M; m += WORD) {
        const int depth = MIN(WORD, M - m);
        const real *d = turn->d + m;
        panel_of_columns(w, M, some, m, depth, panel);
        if (is_finite) words_of(d, ldd, N, depth, words);
        else keep_zeros(words, N, depth);
        sparse_product(&(Sparse){d, panel, words, ldd, 1, N, PADDED(some) / LANES, PADDED(some), ldx,
                                 turn->dx + k});
    }
    scratch_end(begun);
}

/* dw (some, all) of features k .. k + some, then without the rows' padding (some, M). */
static void weights_gradient(const Work *work, const Paid *paid, int k, int some, real *dw) {
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const int N = turn->n, M = layer->out.c, all = PADDED(M), ldx = layer->in.stride;
    const int high = even_share(N);
    const real background = turn->source ? turn->source->background : 0;
    uint64_t words[WORD];
    for (int i = 0; i < some; i++)
        for (int m = 0; m < all; m += LANES)
            VEC(dw + i * all + m) = background * CVEC(work->db + m);
    for (int i = 0; i < some; i += WORD)
        for (int n = 0; n < N; n += high) {
            const real *x = turn->x + (int64_t)n * ldx + k + i;
            const int rows = MIN(WORD, some - i), depth = MIN(high, N - n);
            memset(words, 0, sizeof words);
            words_of(x, ldx, depth, rows, words);
            if (paid->is_finite) turn_words(words);
            else keep_zeros(words, rows, depth);
            const real *panel = paid->panels + (int64_t)n * paid->width;
            for (int at = 0; at < all; at += paid->width, panel += (int64_t)N * paid->width)
                sparse_product(&(Sparse){x, panel, words, 1, ldx, rows,
                                         MIN(paid->width, all - at) / LANES, paid->width, all,
                                         dw + (int64_t)i * all + at});
        }
    for (int i = 1; i < some && all != M; i++)
        memmove(dw + (int64_t)i * M, dw + (int64_t)i * all, sizeof(real) * (size_t)M);
}

/* Some features: their dx, then block by block their weights' gradient and step. */
static void learn_part(void *with, int part) {
    const Scratch begun = scratch_begin();
    Work *work = with;
    const Turn *turn = work->turn;
    const Layer *layer = turn->layer;
    const int M = layer->out.c, all = PADDED(M);
    const int most = WIDE * LANES, fit = (1 << 16) / all / LANES * LANES;    /* in the L2 cache */
    const int rows = MAX(LANES, MIN(most, fit));
    int from, to;
    share(layer->in.c, part, work->parts, &from, &to);
    Paid paid = paid_of(turn);
    real *panel = scratch(sizeof(real) * WORD * WIDE * LANES);
    real *dw = scratch(sizeof(real) * (int64_t)rows * all);
    double squares = 0;
    for (int k = from; k < to; k += rows) {
        const int some = MIN(rows, to - k);
        if (turn->dx) inputs_gradient(turn, k, some, panel);
        weights_gradient(work, &paid, k, some, dw);
        squares += learn(layer->w, dw, (int64_t)k * M, (int64_t)some * M, turn);
    }
    work->squares[part] = squares;
    scratch_end(begun);
}

void dense_backward(Turn *turn) {
    if (is_small(turn->layer, turn->n)) {
        dense_small_backward(turn);
        return;
    }
    const Scratch begun = scratch_begin();
    const Layer *layer = turn->layer;
    Work work = work_of(turn);
    work.db = scratch(sizeof(real) * layer->out.stride);
    work.squares = scratch(sizeof(double) * work.parts);
    work.finishers = MIN(work.finishers, layer->out.stride / LANES);
    in_parts(work.finishers, cut_part, &work);
    in_parts(work.parts, learn_part, &work);
    for (int part = 0; part < work.parts; part++) turn->squares += work.squares[part];
    learn(layer->b, work.db, 0, layer->out.c, turn);
    scratch_end(begun);
}
