/* What the files of the engine share: numbers, vectors, a network's layers and parameters.
 *
 * Everything is compiled twice, with REAL float and double, and once for each processor level
 * (see build.py). Images lie with their channels last, and each pixel's channels, like each
 * example's features, fill whole vectors: `stride` numbers, of which the first `c` count. What the
 * rest hold is never read into them, so that no loop below needs a tail.
 */
#ifndef HANDGRAD_ENGINE_H
#define HANDGRAD_ENGINE_H

#include <stdint.h>

#ifndef REAL
#define REAL float
#endif
typedef REAL real;

/* Bytes of a vector register, and how many of a product's sums fit into all of them. Given by hand
 * (-DVECTOR_BYTES=64 -DTALL=14 -DWIDE=16), other vectors than the processor's are tested on it. */
#if defined(VECTOR_BYTES)
#elif defined(__AVX512F__)
#define VECTOR_BYTES 64
#define TALL 14
#define WIDE 16
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define TALL 6
#define WIDE 12
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define TALL 10
#define WIDE 16
#else
#define VECTOR_BYTES 16
#define TALL 6
#define WIDE 12
#endif
#define LANES ((int)(VECTOR_BYTES / sizeof(real)))
#define PADDED(n) (((n) + LANES - 1) / LANES * LANES)

/* Comparisons of vectors give a mask: -1 or 0 in each lane. A vector may lie in memory wherever a
 * number may: `in_memory` types are what pointers are read and written through. */
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef vec vec_in_memory __attribute__((aligned(sizeof(real)), may_alias));
typedef __typeof__(_Generic((real)0, float: (int32_t)0, double: (int64_t)0)) mask;
typedef mask mask_vec __attribute__((vector_size(VECTOR_BYTES)));
typedef mask_vec mask_in_memory __attribute__((aligned(sizeof(real)), may_alias));
#define VEC(p) (*(vec_in_memory *)(p))
#define MASK(p) (*(mask_in_memory *)(p))

/* What Python calls; of the products, what the tests hold against the plain loops. */
#define EXPORTED __attribute__((visibility("default")))
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

ALWAYS_INLINE vec CVEC(const real *p) { return *(const vec_in_memory *)p; }
ALWAYS_INLINE mask_vec CMASK(const mask *p) { return *(const mask_in_memory *)p; }
ALWAYS_INLINE vec spread(real x) { return x - (vec){0}; }
ALWAYS_INLINE vec choose(mask_vec which, vec one, vec other) {
    return (vec)((which & (mask_vec)one) | (~which & (mask_vec)other));
}
/* A bit for each lane that is set. The types are what the built-in functions take; immintrin.h has
 * them, too, and takes longer to read than the rest to compile. */
#if defined(__SSE2__)
typedef int ints __attribute__((vector_size(VECTOR_BYTES)));
typedef long long longs __attribute__((vector_size(VECTOR_BYTES)));
typedef float floats __attribute__((vector_size(VECTOR_BYTES)));
typedef double doubles __attribute__((vector_size(VECTOR_BYTES)));
#endif
ALWAYS_INLINE uint64_t bits_of(mask_vec which) {
#if defined(__AVX512F__) && VECTOR_BYTES == 64
    return sizeof(real) == 4 ? (uint16_t)__builtin_ia32_cvtd2mask512((ints)which)
                             : (uint8_t)__builtin_ia32_cvtq2mask512((longs)which);
#elif defined(__AVX__) && VECTOR_BYTES == 32
    return (uint64_t)(sizeof(real) == 4 ? __builtin_ia32_movmskps256((floats)which)
                                        : __builtin_ia32_movmskpd256((doubles)which));
#elif defined(__SSE2__) && VECTOR_BYTES == 16
    return (uint64_t)(sizeof(real) == 4 ? __builtin_ia32_movmskps((floats)which)
                                        : __builtin_ia32_movmskpd((doubles)which));
#else
    uint64_t bits = 0;      /* other processors, and vectors given by hand */
    for (int lane = 0; lane < LANES; lane++) bits |= (uint64_t)(which[lane] & 1) << lane;
    return bits;
#endif
}
ALWAYS_INLINE vec only(mask_vec which, vec one) { return (vec)(which & (mask_vec)one); }

/* threads.c */
EXPORTED void in_parts(int parts, void (*task)(void *with, int part), void *with);
int worth_parts(int threads, double work, double enough);

/* One example: c features of 1 x 1 pixels, or an image of c channels. */
typedef struct {
    int32_t c, h, w, stride;
} Shape;

enum { NO_RULE, SGD, MOMENTUM, NESTEROV, RMSPROP, ADAM };

/* A parameter, its gradient, the rule's state, and how it is stepped (rules.c). */
typedef struct {
    real *w, *dw, *first, *second;
    int64_t size, t;
    int32_t rule, penalised;
    double a, b, epsilon, decay;
    double mean_has, square_has;    /* of Adam's averages, what they have of their weight: 1 - a^t */
} Param;

enum { DENSE, CONV, NORM, POOL, ACTIVATION, DROPOUT, FLATTEN, AVG_POOL, LAYER_NORM };

/* A layer as Python describes it, and behind `kept` what this engine keeps for it. */
typedef struct {
    int32_t kind;
    Shape in, out;
    int32_t size, step, padding;                /* of a convolution */
    int32_t pool, pool_step, relu;              /* behind it, or alone */
    int32_t normed, function;                   /* function: which activation */
    double keep, momentum, eps, slope;
    Param *w, *b, *gamma, *beta;                /* NULL where the layer has none */
    real *running_mean, *running_var;
    /* of the engine */
    Shape mid;                                  /* between convolution and pool */
    real *kept, *best;                          /* what is normalised; that of pools' winners */
    real *mean, *inverse, *scale, *shift;       /* a norm's, of in or mid: stride numbers each */
    int32_t *taps, *places, *back_taps, *back_places;
    int32_t images;                             /* at a time, in a convolution */
    real *output;
    mask *winners;                              /* of a pool; of dropout, who was kept */
} Layer;

/* Where training rows come from: examples X[rows[n]] - background, in the user's order. */
typedef struct {
    const real *X;
    const int64_t *rows;
    real background;
} Source;

/* Randomness as NumPy's bit generators give it. */
typedef struct {
    void *state;
    double (*next_double)(void *state);
} Draws;

/* One layer's turn: the batch, what comes in and goes out, and how many threads may help. */
typedef struct {
    Layer *layer;
    const real *x;              /* (n, in) */
    real *d;                    /* backward: the gradient of the output, changed in place */
    real *dx;                   /* backward: that of x; NULL where nobody asks for it */
    const Source *source;       /* the network's first layer takes its rows into x itself */
    const Draws *draws;
    int32_t n, threads, training;
    double reg, rate;
    double squares;             /* backward: sum of the penalised parameters' squares */
} Turn;

/* One file a layer. Each has what its pass needs of scratch, and gives it back. */
EXPORTED void dense_plainly(const Turn *);
void dense_forward(Turn *);
void dense_backward(Turn *);
int is_small(const Layer *, int n);
void dense_small_forward(Turn *);
void dense_small_backward(Turn *);
EXPORTED void conv_plainly(const Turn *);
void conv_prepare(Layer *);
void conv_forward(Turn *);
void conv_backward(Turn *);
void norm_forward(Turn *);
void norm_backward(Turn *);
void pool_forward(Turn *);
void pool_backward(Turn *);
void activation_forward(Turn *);
void activation_backward(Turn *);
void avg_pool_forward(Turn *);
void avg_pool_backward(Turn *);
void layer_norm_forward(Turn *);
void layer_norm_backward(Turn *);
void dropout_forward(Turn *);
void dropout_backward(Turn *);
void flatten_forward(Turn *);
void flatten_backward(Turn *);

/* losses.c: a loss with its own number (label smoothing, delta), and what the examples shall give. */
typedef struct {
    int32_t kind;
    double option;
} Loss;
typedef struct {
    const int64_t *labels;      /* classes, or -1 and 1 */
    const real *values;         /* (N, M): what is predicted; of several labels 0 and 1 */
    const double *weights;      /* NULL: all weigh the same */
} Targets;
double loss_and_gradient(const Loss *, const Targets *, const real *x, real *d, const int64_t *size);

/* network.c: examples from .. to, numbers first .. last of each, into x. */
void take_rows(const Source *, const Shape *, real *x, const int64_t *range);

/* rules.c: one more step of all parameters. */
void count_step(Param *, int count);

/* Add the penalty's gradient to dw, of numbers at .. at + count of the parameter, and step
 * those (or keep dw, without a rule); give the sum of their squares where they are penalised. */
double learn(Param *, real *dw, int64_t at, int64_t count, const Turn *);

/* max_pool.c: one image, also within a convolution's block. */
typedef struct {
    const Layer *layer;
    Shape in;
    const real *mean, *scale, *shift;   /* normalise first: (y - mean) scale + shift; or NULL */
} Pool;
Pool pool_of(const Layer *);
void pool_image(const Pool *, const real *y, real *out, mask *winners, real *best);
void unpool_image(const Pool *, const real *d, const mask *winners, real *dy);

/* transpose.c: to[j, i] = from[i, j]; size: rows and columns of `from`. */
void transpose(const real *from, int64_t ldf, real *to, int64_t ldt, const int64_t *size);

/* winners.c */
int winners_fit(const Layer *);
int winners_numbers(const Layer *);
void winners_gradient(const Layer *, const real *x, const real *d, const mask *winners, real *dw);
void winners_in_taps(const Layer *, const real *dw, real *lines);

/* norm.c: a part's share of the mean and of the squared distances from it, `stride` of each. */
typedef struct {
    double count, *mean, *square;
} Moments;
void moments_of(const real *y, int64_t pixels, int stride, Moments *);
/* away: by how much what was normalised is less than it should be, in each channel; or NULL */
void norm_settle(Layer *, const Moments *, int parts, const real *away);
void norm_for_tests(Layer *, const Shape *);
/* Add up the parts' sums of d and d x_hat, step beta and gamma, leave the sums over count. */
void norm_learn(Turn *, double *sums, int parts, double count, int stride);
void norm_gradient(const Layer *, const real *y, const double *sums, real *d, int64_t pixels);

/* product.c */
/* c[p, j] = sum over t of a[rows[p] + taps[t]] * b[t, j]: a convolution, or its gradients. */
typedef struct {
    const real *a, *b;
    const int32_t *rows, *taps;
    int32_t P, T, vectors;      /* columns of b and c: so many vectors */
    int32_t ldb, ldc;
    const real *start;          /* of each row of c, NULL for zero; add: what c holds */
    int32_t add;
    real *c;
} Product;
EXPORTED void product_plainly(const Product *);
EXPORTED void product(const Product *);

/* c[r, j] += sum over i of a[r * down + i * across] * b[i, j], of those i whose bit is in words[r]:
 * the numbers that are not zero, of 64 at most. */
typedef struct {
    const real *a, *b;
    const uint64_t *words;
    int64_t down, across;
    int32_t rows, vectors, ldb, ldc;
    real *c;
} Sparse;
EXPORTED void sparse_product_plainly(const Sparse *);
EXPORTED void sparse_product(const Sparse *);

/* memory.c: room() is aligned to cache lines, and ends the process where there is none. */
void *room(int64_t bytes);
typedef struct {
    void *piece;
    int64_t used;
} Scratch;
Scratch scratch_begin(void);
void *scratch(int64_t bytes);
void scratch_end(Scratch);

#endif
