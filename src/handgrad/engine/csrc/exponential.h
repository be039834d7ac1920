/* exp(x) and exp(x) - 1 of all numbers of a vector.
 *
 *   exp(x) = 2^k exp(r),  k the whole number next to x / ln 2,  exp(r) - 1 = r (1 + r/2 (1 + r/3 (...)))
 *
 * r is at most ln 2 / 2 from 0, where the Taylor series has come to the last digit after 7 terms, in
 * double after 13. ln 2 is in two pieces, of which the first has few digits, so that k times it is
 * exact; 2^k in two factors, for those below the smallest normal number. A NaN comes through.
 */
#ifndef HANDGRAD_EXPONENTIAL_H
#define HANDGRAD_EXPONENTIAL_H

#include "engine.h"

#define LN2 0.693147180559945309
enum { MANTISSA = sizeof(real) == 4 ? 23 : 52, BIAS = sizeof(real) == 4 ? 127 : 1023 };

ALWAYS_INLINE vec power_of_2(mask_vec k) { return (vec)((k + BIAS) << MANTISSA); }

/* exp(r) - 1; k is left. */
ALWAYS_INLINE vec reduced(vec x, mask_vec *k) {
    const int is_float = sizeof(real) == 4;
    const real most = is_float ? 88.8 : 709.8, least = is_float ? -104 : -746;
    const real round = is_float ? 0x1.8p23 : 0x1.8p52;     /* has no digits behind the point */
    const real head = is_float ? 0x1.63p-1 : 0x1.62e42feep-1;
    const real tail = is_float ? LN2 - 0x1.63p-1 : 0x1.a39ef35793c76p-33;
    x = choose(x > most, spread(most + 1), choose(x < least, spread(least), x));
    const vec whole = (x * (real)(1 / LN2) + round) - round;
    const vec r = (x - whole * head) - whole * tail;
    vec sum = spread(1);
#pragma GCC unroll 16
    for (int term = is_float ? 7 : 13; term > 1; term--) sum = 1 + sum * r * (real)(1.0 / term);
    *k = __builtin_convertvector(whole, mask_vec);
    return sum * r;
}

ALWAYS_INLINE vec exponential(vec x) {
    mask_vec k;
    const vec rest = reduced(x, &k);
    const mask_vec half = k >> 1;
    return (1 + rest) * power_of_2(half) * power_of_2(k - half);
}

/* For x from 0 to 80: all digits also next to 0. */
ALWAYS_INLINE vec exponential_less_1(vec x) {
    mask_vec k;
    const vec rest = reduced(x, &k), scale = power_of_2(k);
    return scale * rest + (scale - 1);
}

#endif
