"""A convolution of floats in C by the compiler's vectors: a tile of pixels times filters.

The sums of a tile stay in registers while the taps go by: of each tap, the weights of sixteen (or
eight) filters are read once and multiplied with the number under it of each pixel.
"""

from handgrad.export import c_text
from handgrad.export.c_activations import activated
from handgrad.export.c_plan import Op
from handgrad.export.c_text import fill

LANES = 8
"""Filters that a vector of the widest kind holds; fewer are left to the compiler."""

_REGISTERS = 12  # of AVX2's sixteen: what the tile's sums may take

VECTORS = """
/* Vectors by an extension that GCC and Clang have; a vector of one number elsewhere, and with
 * -DPLAIN_C. */
#if defined(PLAIN_C) || !defined(__GNUC__)
typedef float vec;
#elif defined(__AVX__) || defined(MANY_LEVELS)
typedef float vec __attribute__((vector_size(32), aligned(4), may_alias));
#else
typedef float vec __attribute__((vector_size(16), aligned(4), may_alias));
#endif
enum { LANES = sizeof(vec) / sizeof(float) };
"""


def conv_of_vectors(op: Op, name: str) -> str:
    """Write a convolution with eight filters or more as a C function, its arrays before it."""
    (C, _, W), (F, OH, OW) = op.shape_in, op.shape_out
    K = op.window
    assert isinstance(K, int)
    vectors = 1 if F < 2 * LANES or F % (2 * LANES) == LANES else 2
    block = vectors * LANES
    pixels = _pixels(OW, _REGISTERS // vectors)
    tile = [[f"a{p}{q}" for q in range(vectors)] for p in range(pixels)]
    at = ["" if q == 0 else f" + {q} * LANES" for q in range(vectors)]
    lines = {
        "biases": [f"const vec b{q} = *(const vec *)(b{each});" for q, each in enumerate(at)],
        "starts": [f"vec {', '.join(f'{a} = b{q}' for q, a in enumerate(row))};" for row in tile],
        "weights": [f"const vec w{q} = *(const vec *)(w{each});" for q, each in enumerate(at)],
        "adds": [
            " ".join(f"{a} += row[{_plus('t', p * op.stride * C)}] * w{q};"
                     for q, a in enumerate(row))
            for p, row in enumerate(tile)
        ],
        "stores": [
            f"*(vec *)({_plus('o', p * F)}{at[q]}) = {a};"
            for p, row in enumerate(tile) for q, a in enumerate(row)
        ],
    }  # fmt: skip
    # Weights of a tile's filters lie together, tap after tap; where sizes do not divide, the last
    # tile reaches back over filters that are done already, and all filters of a tap lie together.
    whole = F % block == 0
    w = op.arrays["w"]  # (K, K, C, F)
    if whole:
        w = w.reshape(-1, F // block, block).swapaxes(0, 1)
    text = """
LEVELS static void $name(const float *restrict x, float *restrict y)
{
    for (int g = 0; g < $F; g += $V * LANES) {
        const int f = $f;
        const float *b = ${name}_b + f;
        $biases
        for (int i = 0; i < $OH; i++) {
            for (int h = 0; h < $OW; h += $P) {
                const int j = $j;
                const float *w = ${name}_w + $first;
                float *o = y + (i * $OW + j) * $F + f;
                $starts
                for (int k = 0; k < $K; k++) {
                    const float *row = x + ((i * $S + k) * $W + j * $S) * $C;
                    for (int t = 0; t < $KC; t++, w += $step) {
                        $weights
                        $adds
                    }
                }
                $stores
            }
        }
    }
$activation}
"""
    activation = ""
    if op.activation is not None:
        activation = f"    for (int n = 0; n < {op.size_out}; n++)\n"
        activation += f"        y[n] = {activated(op.activation, 'y[n]')};\n"
    for key in lines:
        indent = text[: text.index(f"${key}")].rsplit("\n", 1)[1]
        text = text.replace(f"${key}", f"\n{indent}".join(lines[key]))
    taps = K * K * C
    return c_text.array(f"{name}_w", "float", w) + c_text.array(
        f"{name}_b", "float", op.arrays["b"]
    ) + "\n" + fill(
        text, name=name, C=C, W=W, F=F, OH=OH, OW=OW, V=vectors, P=pixels, K=K, S=op.stride,
        KC=K * C, step=block if whole else F, activation=activation,
        first=f"f / {block} * {taps * block} + f % {block}" if whole else "f",
        f="g" if whole else f"g < {F} - {vectors} * LANES ? g : {F} - {vectors} * LANES",
        j="h" if OW % pixels == 0 else f"h < {OW - pixels} ? h : {OW - pixels}",
    )  # fmt: skip


def _plus(name: str, offset: int) -> str:
    return f"{name} + {offset}" if offset else name


def _pixels(width: int, most: int) -> int:
    """Give how many pixels of a row a tile has: few of them twice, and as many as there may be."""
    sizes = range(min(4, width), min(most, width) + 1)
    return min(sizes, key=lambda size: (-(-width // size) * size, -size))
