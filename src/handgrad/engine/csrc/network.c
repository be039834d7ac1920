/* A network: its layers in turn forward, one loss, its layers in turn backward, a step each.
 *
 *   loss(X, y) + 0.5 reg sum(W^2);  each parameter is stepped where its gradient is made
 *
 * The functions that Python calls: one call is several steps, or all scores of an array.
 */
#include "engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What Python fills in. */
typedef struct {
    Layer *layers;
    Param *params;
    int32_t count, params_count, first;             /* first: the first layer with parameters */
    Loss loss;
    double reg;
    /* of the engine */
    int64_t capacity, trained;                      /* examples that there is room for */
    real *input, *gradients[2];
} Network;

typedef struct {
    const real *X;
    const int64_t *rows;                            /* of X; NULL: all in their order */
    Targets targets;                                /* in the order of the rows */
    int64_t count, batch;
    const double *rates;
    double *losses, background;
    real *scores;
    const real *upstream;                           /* (count, C): in place of a loss's gradient */
    Draws draws;
    int32_t threads;
} Call;

static int64_t numbers(const Shape *shape) { return (int64_t)shape->h * shape->w * shape->stride; }

EXPORTED int32_t hg_lanes(void) { return LANES; }

/* For the tests: Python's structures are as large. */
EXPORTED void hg_sizes(int32_t *sizes) {
    const size_t ours[] = {sizeof(Shape), sizeof(Param), sizeof(Layer), sizeof(Network), sizeof(Call)};
    for (int i = 0; i < 5; i++) sizes[i] = (int32_t)ours[i];
}

/* What this processor can run: 4, 3 or 2 for x86-64-v4, -v3, -v2; elsewhere 1. */
#if defined(__x86_64__)
#include <cpuid.h>

/* Which registers the system saves when it switches threads. */
static uint32_t saved_registers(void) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int all_set(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

/* By the processor's own word: not every compiler's __builtin_cpu_supports is filled in. */
EXPORTED int32_t hg_level(void) {
    enum { FMA = 1 << 12, MOVBE = 1 << 22, XSAVE = 1 << 27, F16C = 1 << 29 };
    enum { LZCNT = 1 << 5, BMI1 = 1 << 3, AVX2 = 1 << 5, BMI2 = 1 << 8 };
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* F DQ CD BW VL */
    uint32_t eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !all_set(ecx, FMA | MOVBE | XSAVE | F16C)
        || !all_set(saved_registers(), 0x06))
        return 2;
    if (!__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) || !all_set(ecx, LZCNT)) return 2;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !all_set(ebx, BMI1 | AVX2 | BMI2)) return 2;
    return all_set(ebx, avx512) && all_set(saved_registers(), 0xe6) ? 4 : 3;
}
#else
EXPORTED int32_t hg_level(void) { return 1; }
#endif

EXPORTED void hg_prepare(Network *network) {
    for (int i = 0; i < network->count; i++) {
        Layer *layer = &network->layers[i];
        const int stride = layer->kind == NORM ? layer->in.stride : layer->out.stride;
        if (layer->kind == CONV) conv_prepare(layer);
        if (layer->kind == NORM || layer->normed) {
            layer->mean = room(sizeof(real) * 4 * stride);
            layer->inverse = layer->mean + stride;
            layer->scale = layer->inverse + stride;
            layer->shift = layer->scale + stride;
        }
    }
}

static void forget(Network *network) {
    for (int i = 0; i < network->count; i++) {
        Layer *layer = &network->layers[i];
        free(layer->output);
        free(layer->winners);
        free(layer->kept);
        free(layer->best);
        layer->output = layer->kept = layer->best = NULL;
        layer->winners = NULL;
    }
    free(network->input);
    free(network->gradients[0]);
    free(network->gradients[1]);
    network->input = network->gradients[0] = network->gradients[1] = NULL;
}

EXPORTED void hg_free(Network *network) {
    forget(network);
    for (int i = 0; i < network->count; i++) {
        Layer *layer = &network->layers[i];
        free(layer->mean);
        free(layer->taps);
        free(layer->places);
        free(layer->back_taps);
        free(layer->back_places);
    }
}

/* Whether the system would give about as much memory as so many examples take. */
static int fits(const Network *network, int64_t n, int training) {
    int64_t each = numbers(&network->layers[0].in);
    for (int i = 0; i < network->count; i++)
        each += numbers(&network->layers[i].out) * (training ? 2 : 1) + training * numbers(&network->layers[i].mid);
    void *trial = n < INT64_MAX / 16 / MAX(each, 1) ? malloc(sizeof(real) * (size_t)(n * each)) : NULL;
    free(trial);
    return trial != NULL;
}

/* Let there be room for so many examples, and in training for what the backward pass needs. */
static int enlarge(Network *network, int64_t n, int training) {
    if (n <= network->capacity && (!training || n <= network->trained)) return 1;
    if (!fits(network, n, training)) return 0;
    n = MAX(n, network->capacity);
    training |= network->trained > 0;
    forget(network);
    network->capacity = n;
    network->trained = training ? n : 0;
    int64_t most = 0;
    for (int i = 0; i < network->count; i++) {
        Layer *layer = &network->layers[i];
        const int64_t out = n * numbers(&layer->out);
        most = MAX(most, MAX(out, n * numbers(&layer->in)));
        layer->output = room(sizeof(real) * out);
        if (!training) continue;
        if (layer->kind == CONV || layer->kind == POOL || layer->kind == DROPOUT)
            layer->winners = room(sizeof(mask) * out);
        if (layer->kind == DROPOUT) memset(layer->winners, 0, sizeof(mask) * (size_t)out);
        if (layer->kind == CONV && layer->normed) {
            layer->kept = room(sizeof(real) * n * numbers(&layer->mid));
            layer->best = room(sizeof(real) * out);
        }
    }
    /* The last image's last row is read in whole vectors (winners.c). */
    network->input = room(sizeof(real) * (n * numbers(&network->layers[0].in) + LANES));
    memset(network->input, 0, sizeof(real) * (size_t)(n * numbers(&network->layers[0].in)));
    for (int i = 0; i < 2 && training; i++) network->gradients[i] = room(sizeof(real) * most);
    return 1;
}

/* Numbers first .. last of examples from .. to; images with their channels last. */
void take_rows(const Source *source, const Shape *shape, real *x, const int64_t *range) {
    const int64_t pixels = (int64_t)shape->h * shape->w, all = pixels * shape->c;
    const int64_t step = shape->c == 1 ? shape->stride : 1;
    const real background = source->background;
    for (int64_t n = range[0]; n < range[1]; n++) {
        const real *restrict row = source->X + (source->rows ? source->rows[n] : n) * all;
        real *restrict to = x + n * pixels * shape->stride;
        if (step == 1 && (shape->c == 1 || pixels == 1))
            for (int64_t i = range[2]; i < range[3]; i++) to[i] = row[i] - background;
        else if (shape->c == 1)
            for (int64_t i = range[2]; i < range[3]; i++) to[i * step] = row[i] - background;
        else
            for (int64_t p = 0; p < pixels; p++)
                for (int c = 0; c < shape->c; c++)
                    to[p * shape->stride + c] = row[c * pixels + p] - background;
    }
}

typedef void Pass(Turn *);
static Pass *const forwards[] = {dense_forward, conv_forward, norm_forward, pool_forward,
                                 activation_forward, dropout_forward, flatten_forward,
                                 avg_pool_forward, layer_norm_forward};
static Pass *const backwards[] = {dense_backward, conv_backward, norm_backward, pool_backward,
                                  activation_backward, dropout_backward, flatten_backward,
                                  avg_pool_backward, layer_norm_backward};

static Turn turn_of(Network *network, int i, const Call *call, int n) {
    return (Turn){.layer = &network->layers[i],
                  .x = i ? network->layers[i - 1].output : network->input,
                  .draws = &call->draws, .n = n, .threads = call->threads, .reg = network->reg};
}

static void forward(Network *network, const Call *call, const Source *source, int n, int training) {
    for (int i = 0; i < network->count; i++) {
        Turn turn = turn_of(network, i, call, n);
        turn.training = training;
        if (i == 0) {
            const Shape *shape = &turn.layer->in;
            if (turn.layer->kind == DENSE || turn.layer->kind == CONV) turn.source = source;
            else {
                const int64_t range[] = {0, n, 0, (int64_t)shape->c * shape->h * shape->w};
                take_rows(source, shape, network->input, range);
            }
        }
        forwards[turn.layer->kind](&turn);
    }
}

/* From the loss's gradient, in gradients[0], down to the first layer with parameters. */
static double backward(Network *network, const Call *call, const Source *source, int n, double rate) {
    double squares = 0;
    real *d = network->gradients[0], *dx = network->gradients[1];
    for (int i = network->count - 1; i >= network->first; i--) {
        Turn turn = turn_of(network, i, call, n);
        turn.training = 1;
        turn.rate = rate;
        turn.d = d;
        turn.dx = i > network->first ? dx : NULL;
        turn.source = i == 0 ? source : NULL;
        backwards[turn.layer->kind](&turn);
        squares += turn.squares;
        dx = d;
        d = turn.dx;
    }
    return squares;
}

/* A gradient as it comes from outside, with padding; of no loss. */
static double given(const real *upstream, real *d, const int64_t *size) {
    for (int64_t n = 0; n < size[0]; n++)
        for (int64_t c = 0; c < size[2]; c++)
            d[n * size[2] + c] = c < size[1] ? upstream[n * size[1] + c] : 0;
    return 0;
}

/* Behind the first examples. */
static Targets targets_from(const Targets *all, int64_t from, int64_t outputs) {
    return (Targets){all->labels ? all->labels + from : NULL,
                     all->values ? all->values + from * outputs : NULL,
                     all->weights ? all->weights + from : NULL};
}

/* Train on the batches of these rows; give how many losses there are: with one that is not finite
 * training ends, and nothing is stepped; -1 where there is no memory for a batch. */
EXPORTED int64_t hg_train(Network *network, const Call *call) {
    const Layer *last = &network->layers[network->count - 1];
    int64_t step = 0;
    if (!enlarge(network, MIN(call->batch, call->count), 1)) return -1;
    for (int64_t from = 0; from < call->count; from += call->batch, step++) {
        const int n = (int)MIN(call->batch, call->count - from);
        const Source source = {call->rows ? call->X : call->X + from * network->layers[0].in.c
                                   * network->layers[0].in.h * network->layers[0].in.w,
                               call->rows ? call->rows + from : NULL, (real)call->background};
        forward(network, call, &source, n, 1);
        const int64_t size[] = {n, last->out.c, last->out.stride};
        const Targets targets = targets_from(&call->targets, from, last->out.c);
        const double loss = call->upstream
            ? given(call->upstream + from * last->out.c, network->gradients[0], size)
            : loss_and_gradient(&network->loss, &targets, last->output, network->gradients[0], size);
        call->losses[step] = loss;
        /* Whoever steps the gradients himself is given them in any case. */
        if (!isfinite(loss) && network->params[0].rule != NO_RULE) return step + 1;
        count_step(network->params, network->params_count);
        call->losses[step] += 0.5 * network->reg * backward(network, call, &source, n, call->rates[step]);
    }
    return step;
}

/* Test-mode scores (count, C) of examples X, batch by batch; -1 as above. */
EXPORTED int64_t hg_scores(Network *network, const Call *call) {
    const Layer *first = &network->layers[0], *last = &network->layers[network->count - 1];
    const int64_t example = (int64_t)first->in.c * first->in.h * first->in.w;
    if (!enlarge(network, MIN(call->batch, call->count), 0)) return -1;
    for (int64_t from = 0; from < call->count; from += call->batch) {
        const int n = (int)MIN(call->batch, call->count - from);
        const Source source = {call->X + from * example, NULL, (real)call->background};
        forward(network, call, &source, n, 0);
        for (int i = 0; i < n; i++)
            memcpy(call->scores + (from + i) * last->out.c, last->output + (int64_t)i * last->out.stride,
                   sizeof(real) * (size_t)last->out.c);
    }
    return call->count;
}
