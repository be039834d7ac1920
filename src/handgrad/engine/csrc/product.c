/* The two products that everything else is made of.
 *
 * A convolution:   c[p, j] = sum over t of a[rows[p] + taps[t]] * b[t, j]
 * Among zeros:     c[r, j] += sum over i in words[r] of a[r * down + i * across] * b[i, j]
 *
 * The first is a convolution without patches (p: pixels, t: the filter's taps), its gradient for
 * the filters (p: taps, t: pixels) and the one for the image (the filters turned, over the gradient
 * in a frame of zeros). The second is a dense layer, of whose numbers only those that are not zero
 * are multiplied: behind a ReLU half of them, of a digit's pixels a fifth. A word has a bit for each.
 */
#include "engine.h"

/* ---- the plain loops ------------------------------------------------------------------------ */

void product_plainly(const Product *q) {
    for (int p = 0; p < q->P; p++)
        for (int j = 0; j < q->vectors * LANES; j++) {
            real *c = q->c + (int64_t)p * q->ldc + j;
            real sum = q->add ? *c : q->start ? q->start[j] : 0;
            for (int t = 0; t < q->T; t++)
                sum += q->a[q->rows[p] + q->taps[t]] * q->b[(int64_t)t * q->ldb + j];
            *c = sum;
        }
}

void sparse_product_plainly(const Sparse *q) {
    for (int r = 0; r < q->rows; r++)
        for (int i = 0; i < 64; i++)
            for (int j = 0; q->words[r] >> i & 1 && j < q->vectors * LANES; j++)
                q->c[(int64_t)r * q->ldc + j] +=
                    q->a[r * q->down + i * q->across] * q->b[(int64_t)i * q->ldb + j];
}

/* ---- a tile of R rows and V vectors, whose sums stay in registers ----------------------------- */

ALWAYS_INLINE void tile(const Product *q, const int R, const int V, int p, int rows, int j) {
    const real *a[16], *b = q->b + j;
    vec sums[16 * 4];
    for (int r = 0; r < R; r++) a[r] = q->a + q->rows[p + MIN(r, rows - 1)];
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) sums[r * V + v] = (vec){0};
    for (int t = 0; t < q->T; t++, b += q->ldb) {
        const int64_t tap = q->taps[t];
        vec line[4];
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) line[v] = CVEC(b + v * LANES);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
            const vec x = spread(a[r][tap]);
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) sums[r * V + v] += x * line[v];
        }
    }
    /* Rows that are not there were computed as the last one once more. */
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
        if (r >= rows) break;
        real *c = q->c + (int64_t)(p + r) * q->ldc + j;
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) {
            vec start = q->add ? CVEC(c + v * LANES)
                        : q->start ? CVEC(q->start + j + v * LANES) : (vec){0};
            VEC(c + v * LANES) = start + sums[r * V + v];
        }
    }
}

/* Two vectors to a row, as long as there are two; one row in twice as many. */
#define TALLER MIN(2 * TALL, 14)
static void two_vectors(const Product *q, int p, int rows, int j) { tile(q, TALL, 2, p, rows, j); }
static void one_vector(const Product *q, int p, int rows, int j) { tile(q, TALLER, 1, p, rows, j); }

void product(const Product *q) {
    int v = 0;
    for (; v + 2 <= q->vectors; v += 2)
        for (int p = 0; p < q->P; p += TALL)
            two_vectors(q, p, MIN(TALL, q->P - p), v * LANES);
    if (v < q->vectors)
        for (int p = 0; p < q->P; p += TALLER)
            one_vector(q, p, MIN(TALLER, q->P - p), v * LANES);
}

/* ---- a row of V vectors ------------------------------------------------------------------------ */

/* With few vectors, each sum would wait for the one before it: U numbers are then under way. */
ALWAYS_INLINE void sparse_row(const Sparse *q, const int V, const int U, int r) {
    const real *a = q->a + r * q->down, *b = q->b;
    real *c = q->c + (int64_t)r * q->ldc;
    const int64_t across = q->across, ldb = q->ldb;
    uint64_t word = q->words[r];
    int left = __builtin_popcountll(word);
    vec sums[WIDE];
#pragma GCC unroll 24
    for (int v = 0; v < V; v++) sums[v] = CVEC(c + v * LANES);
#pragma GCC unroll 24
    for (int v = V; v < U * V; v++) sums[v] = (vec){0};
    for (; left >= U; left -= U) {
#pragma GCC unroll 4
        for (int u = 0; u < U; u++, word &= word - 1) {
            const int64_t i = __builtin_ctzll(word);
            const vec x = spread(a[i * across]);
#pragma GCC unroll 24
            for (int v = 0; v < V; v++) sums[u * V + v] += x * CVEC(b + i * ldb + v * LANES);
        }
    }
    for (; U > 1 && left > 0; left--, word &= word - 1) {
        const int64_t i = __builtin_ctzll(word);
        const vec x = spread(a[i * across]);
#pragma GCC unroll 24
        for (int v = 0; v < V; v++) sums[v] += x * CVEC(b + i * ldb + v * LANES);
    }
#pragma GCC unroll 24
    for (int v = 0; v < V; v++) {
        vec sum = sums[v];
#pragma GCC unroll 4
        for (int u = 1; u < U; u++) sum += sums[u * V + v];
        VEC(c + v * LANES) = sum;
    }
}

#define ROWS_OF(V)                                                                      \
    case V:                                                                             \
        for (int r = 0; r < q->rows; r++) sparse_row(q, V, V <= 3 ? 4 : V <= WIDE / 2 ? 2 : 1, r); \
        break;

void sparse_product(const Sparse *q) {
    switch (q->vectors) {
        ROWS_OF(1) ROWS_OF(2) ROWS_OF(3) ROWS_OF(4) ROWS_OF(5) ROWS_OF(6)
        ROWS_OF(7) ROWS_OF(8) ROWS_OF(9) ROWS_OF(10) ROWS_OF(11) ROWS_OF(12)
#if WIDE > 12
        ROWS_OF(13) ROWS_OF(14) ROWS_OF(15) ROWS_OF(16)
#endif
    default: sparse_product_plainly(q);
    }
}
