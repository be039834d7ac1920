/* The filters' gradient behind a max pool, of the pixels that won alone: one in four of them.
 *
 *   dw[f, k, .] = sum over windows p of d[p, f] x[corner of p + winner of (p, f) + row k, .]
 *
 * A row of a filter, its columns and channels, is a vector or two, and lies in a row of the image as
 * it lies in the filter. So the sums of one filter stay in registers while its windows go by, and
 * each winner's patch is read where it is; windows that pay nobody are not listed. Below the first
 * convolution nobody asks for the image's gradient; elsewhere product() makes both of all of dmid.
 */
#include "engine.h"

enum { LARGEST = 7 };

static int vectors_of(const Layer *q) { return (q->size * q->in.c + LANES - 1) / LANES; }

int winners_fit(const Layer *q) {
    const int odd = q->size == 3 || q->size == 5 || q->size == LARGEST;
    return !q->normed && q->pool > 1 && odd && vectors_of(q) <= (q->size == LARGEST ? 1 : 2)
           && q->size * vectors_of(q) <= WIDE && q->in.stride == q->in.c;
}

/* Numbers of a filter's gradient here: whole vectors a row. */
int winners_numbers(const Layer *q) { return q->size * vectors_of(q) * LANES; }

ALWAYS_INLINE void one_filter(const int size, const int V, const real *x, int line,
                              const int32_t *places, const real *paid, int windows, real *dw) {
    vec sums[LARGEST * 2];
#pragma GCC unroll 16
    for (int i = 0; i < size * V; i++) sums[i] = CVEC(dw + i * LANES);
    for (int p = 0; p < windows; p++) {
        const real *patch = x + places[p];
        const vec d = spread(paid[p]);
#pragma GCC unroll 8
        for (int k = 0; k < size; k++)
#pragma GCC unroll 2
            for (int v = 0; v < V; v++) sums[k * V + v] += d * CVEC(patch + (int64_t)k * line + v * LANES);
    }
#pragma GCC unroll 16
    for (int i = 0; i < size * V; i++) VEC(dw + i * LANES) = sums[i];
}

/* Add one image's share: x in its frame, d and winners of the pool's output, dw (F, numbers). */
void winners_gradient(const Layer *q, const real *x, const real *d, const mask *winners, real *dw) {
    const Scratch begun = scratch_begin();
    const int windows = q->out.h * q->out.w, stride = q->out.stride, V = vectors_of(q);
    const int line = (q->in.w + 2 * q->padding) * q->in.c;
    int32_t *places = scratch(sizeof(int32_t) * windows);
    int32_t *steps = scratch(sizeof(int32_t) * q->pool * q->pool);
    real *paid = scratch(sizeof(real) * windows);
    for (int i = 0; i < q->pool * q->pool; i++)
        steps[i] = (i / q->pool * line + i % q->pool * q->in.c) * q->step;
    for (int f = 0; f < q->out.c; f++, dw += winners_numbers(q)) {
        int count = 0;
        for (int i = 0, p = 0; i < q->out.h; i++)
            for (int j = 0; j < q->out.w; j++, p++) {       /* without a branch that is guessed wrong */
                const int winner = (int)winners[(int64_t)p * stride + f];
                const int corner = (i * line + j * q->in.c) * q->pool_step * q->step;
                places[count] = corner + steps[winner < 0 ? 0 : winner];
                paid[count] = d[(int64_t)p * stride + f];
                count += winner >= 0;
            }
        if (q->size == 3 && V == 1) one_filter(3, 1, x, line, places, paid, count, dw);
        else if (q->size == 3) one_filter(3, 2, x, line, places, paid, count, dw);
        else if (q->size == 5 && V == 1) one_filter(5, 1, x, line, places, paid, count, dw);
        else if (q->size == 5) one_filter(5, 2, x, line, places, paid, count, dw);
        else one_filter(7, 1, x, line, places, paid, count, dw);
    }
    scratch_end(begun);
}

/* From dw (F, numbers) to the lines of a tap (taps, stride). */
void winners_in_taps(const Layer *q, const real *dw, real *lines) {
    const int row = q->size * q->in.c, numbers = winners_numbers(q);
    for (int t = 0; t < q->size * row; t++)
        for (int f = 0; f < q->out.c; f++)
            lines[(int64_t)t * q->mid.stride + f] =
                dw[(int64_t)f * numbers + t / row * vectors_of(q) * LANES + t % row];
}
