/* to[j, i] = from[i, j], i < rows, j < columns.
 *
 * A square of as many vectors as they have lanes is turned in registers: the halves of the square
 * are zipped, lane by lane, log2(lanes) times over. What is left over goes number by number.
 */
#include "engine.h"

#define BYTES_float 4
#define BYTES_double 8
#define JOINED(a, b) a##b
#define BYTES(real) JOINED(BYTES_, real)

/* Lanes of one vector and of another (from LANES on) in turn: the first halves, the second ones. */
#if VECTOR_BYTES / BYTES(REAL) == 16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VECTOR_BYTES / BYTES(REAL) == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif VECTOR_BYTES / BYTES(REAL) == 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#else
#define LOW 0, 2
#define HIGH 1, 3
#endif

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define ZIP(a, b, lanes) __builtin_shufflevector(a, b, lanes)
#endif
#endif
#ifndef ZIP /* GCC before 12 */
#define ZIP(a, b, lanes) __builtin_shuffle(a, b, (mask_vec){lanes})
#endif

static void square(const real *from, int64_t ldf, real *to, int64_t ldt) {
    vec a[VECTOR_BYTES / BYTES(REAL)], b[VECTOR_BYTES / BYTES(REAL)];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) a[i] = CVEC(from + i * ldf);
#pragma GCC unroll 4
    for (int zipped = 1; zipped < LANES; zipped *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; i++) {
            b[2 * i] = ZIP(a[i], a[i + LANES / 2], LOW);
            b[2 * i + 1] = ZIP(a[i], a[i + LANES / 2], HIGH);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) a[i] = b[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) VEC(to + i * ldt) = a[i];
}

void transpose(const real *from, int64_t ldf, real *to, int64_t ldt, const int64_t *size) {
    const int64_t rows = size[0], columns = size[1];
    for (int64_t i = 0; i < rows; i += LANES)
        for (int64_t j = 0; j < columns; j += LANES) {
            if (i + LANES <= rows && j + LANES <= columns) {
                square(from + i * ldf + j, ldf, to + j * ldt + i, ldt);
                continue;
            }
            for (int64_t k = i; k < MIN(i + LANES, rows); k++)
                for (int64_t l = j; l < MIN(j + LANES, columns); l++) to[l * ldt + k] = from[k * ldf + l];
        }
}
