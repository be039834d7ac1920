r"""Evaluate the theory's formulas as they are displayed, with numbers or with SymPy's symbols.

The language is the LaTeX that the pages of ``handgrad.theory`` use, and no more: indexed
symbols (``x_{nc,\,i+k,\,j+l}``, read as 0 outside the array), sums, fractions, brackets [n = k],
derivatives, expectations over coins, the two convolutions. Anything else is an error, so that a
formula that cannot be checked cannot be displayed.

An entry may be an array: with ``X`` an array of rows, ``X_i`` is a row, and so is what
``\partial L / \partial X_i`` gives. ``\circ`` multiplies entry by entry. An environment that holds
``dL/dY`` gives the upstream gradient ``\partial L / \partial Y``.
"""

import itertools
import math
import re

import numpy as np
import sympy

from handgrad.layers import convolve_full, filter_valid
from handgrad.theory.pages import ORDER, source
from handgrad.theory.render import WORDS, formulas

BLOCKS = {label: latex for name in ORDER for label, latex in formulas(source(name)).items()}

_TOKEN = re.compile(
    r"(?P<space>\s+|\\[,;:! ]|\\[bB]ig[lr]?)"
    rf"|(?P<word>{'|'.join(WORDS)}|d\\gamma|d\\beta)(?![A-Za-z])"
    r"|(?P<number>\d+(?:\.\d+)?)|(?P<command>\\[A-Za-z]+)|(?P<letter>[A-Za-z])|(?P<sign>.)",
    re.DOTALL,
)
_ENDS = {"+", "-", "=", "<", ">", ")", "]", "}", ",", None}


def _tokens(latex):
    found = []
    for match in _TOKEN.finditer(latex):
        if match.lastgroup != "space":
            found.append(match[0])
    return found


class Formula:
    """One equation: its sides as functions of an environment, and its free indices.

    ``sizes`` maps index letters to their ranges; a letter in it is an index, everywhere. A number
    counts from 0, as the code does; ``range(1, 4)`` counts from 1.
    """

    def __init__(self, latex, sizes):
        self.latex, self.sizes = latex.strip().rstrip(",."), sizes
        self._rest, self._bound, self.free = _tokens(self.latex), [], []
        self.sides = [self._sum()]
        while self._take("="):
            self.sides.append(self._sum())
        if self._rest:
            raise SyntaxError(f"cannot read {' '.join(self._rest)!r} in {latex!r}")

    def value(self, side, env):
        """Evaluate one side for every combination of the free indices, in their order."""
        spans = [span(self.sizes[letter]) for letter in self.free]
        values = [
            self.sides[side]({**env, **dict(zip(self.free, place, strict=True))})
            for place in itertools.product(*spans)
        ]
        if not spans:
            return values[0]
        entry = np.shape(values[0])
        result = np.empty((len(values), *entry), dtype=object)
        for place, value in enumerate(values):
            result[place] = value
        return result.reshape(*map(len, spans), *entry)

    # Reading. Each method consumes tokens and returns a function of the environment. ----------

    def _peek(self):
        return self._rest[0] if self._rest else None

    def _take(self, token):
        if self._peek() == token:
            self._rest.pop(0)
            return True
        return False

    def _expect(self, token):
        if not self._take(token):
            raise SyntaxError(f"{token!r} expected before {self._rest!r} in {self.latex!r}")

    def _sum(self):
        negative = self._take("-")
        terms = [(-1 if negative else 1, self._product())]
        while self._peek() in ("+", "-"):
            sign = 1 if self._rest.pop(0) == "+" else -1
            terms.append((sign, self._product()))
        if len(terms) == 1 and not negative:
            return terms[0][1]
        return lambda env: sum(sign * term(env) for sign, term in terms)

    def _product(self):
        result = self._factor()
        while self._peek() not in _ENDS and self._peek() not in self._closing:
            result = self._times(result)
        return result

    _closing = ()

    def _times(self, left):
        if self._take("*"):
            self._expect("_")
            operation = {"full": convolve, "filt": correlate}["".join(self._group())]
            right = self._factor()
            return lambda env: operation(left(env), right(env))
        if self._take("/"):
            right = self._factor()
            return lambda env: left(env) / right(env)
        if self._take("\\circ"):
            right = self._factor()
            return lambda env: left(env) * right(env)
        self._take("\\cdot")
        right = self._factor()
        return lambda env: multiply(left(env), right(env))

    def _factor(self):
        base = self._base()
        while self._peek() in ("^", "_"):
            if self._take("_"):
                index, inner = self._indices(), base
                base = lambda env, inner=inner, index=index: read(inner(env), index(env))  # noqa: E731
                continue
            self._expect("^")
            inner = base
            if self._take("\\top"):
                base = lambda env, inner=inner: inner(env).T  # noqa: E731
            else:
                power = self._argument()
                base = lambda env, inner=inner, power=power: inner(env) ** power(env)  # noqa: E731
        return base

    def _base(self):
        token = self._rest.pop(0)
        special = {
            "\\frac": self._fraction,
            "\\sum": self._summation,
            "\\mathbb": self._expectation,
            "\\operatorname": self._operator,
            "(": self._parenthesis,
            "[": self._iverson,
            "|": self._absolute,
            "\\Vert": self._norm,
            "\\langle": self._inner_product,
        }
        if token in special:
            return special[token]()
        if token == "\\sqrt":
            return self._applied(root, [self._argument()])
        if token in _FUNCTIONS:
            return self._applied(_FUNCTIONS[token])
        if token == "e":
            self._expect("^")
            return self._applied(exp, [self._argument()])
        if token[0].isdigit():
            number = sympy.Integer(token) if token.isdigit() else sympy.Rational(token)
            return lambda env: number
        return self._symbol(token)

    def _symbol(self, token):
        if token in ("\\hat", "\\bar"):
            token = f"{token[1:]} {self._rest.pop(0)}"
        while self._take("'"):
            token += "'"
        if token in self.sizes:
            self._note(token)
        elif not (token.strip("'")[-1].isalpha()):
            raise SyntaxError(f"cannot read {token!r} in {self.latex!r}")
        return lambda env: lookup(env, token)

    def _note(self, letter):
        if letter not in self._bound and letter not in self.free:
            self.free.append(letter)

    def _group(self):
        """Take the raw tokens of {...} or one token."""
        if not self._take("{"):
            return [self._rest.pop(0)]
        depth, taken = 1, []
        while depth:
            token = self._rest.pop(0)
            depth += {"{": 1, "}": -1}.get(token, 0)
            taken.append(token)
        return taken[:-1]

    def _within(self, tokens, reader):
        """Read other tokens, all of them, then go on."""
        kept, self._rest = self._rest, list(tokens)
        result = reader()
        if self._rest:
            raise SyntaxError(f"cannot read {self._rest!r} in {self.latex!r}")
        self._rest = kept
        return result

    def _argument(self):
        group = self._group()
        if len(group) == 1 and group[0].isdigit() and len(group[0]) > 1:
            raise SyntaxError(f"write braces around {group[0]} in {self.latex!r}")
        return self._within(group, self._sum)

    def _fraction(self):
        above, below = self._group(), self._group()
        if above[0] == below[0] == "\\partial":
            value = self._within(above[1:], self._factor)
            by, name = self._within(below[1:], self._factor), below[1]
            given = f"d{''.join(above[1:])}/d{name}"
            return lambda env: (
                by({**env, name: env[given]})
                if given in env
                else differentiate(value(env), by(env))
            )
        above, below = self._within(above, self._sum), self._within(below, self._sum)
        return lambda env: above(env) / below(env)

    def _summation(self):
        self._expect("_")
        letters = [token for token in self._group() if token != ","]
        self._bound += letters
        body = self._product()
        del self._bound[-len(letters) :]
        ranges = [span(self.sizes[letter]) for letter in letters]
        return lambda env: sum(
            body({**env, **dict(zip(letters, place, strict=True))})
            for place in itertools.product(*ranges)
        )

    def _expectation(self):
        if self._group() != ["E"]:
            raise SyntaxError(self.latex)
        body = self._bracketed()
        return lambda env: expectation(body, env)

    def _operator(self):
        name = "".join(self._group())
        if name == "Var":
            body = self._bracketed()
            return lambda env: expectation(
                lambda inner: (body(inner) - expectation(body, env)) ** 2, env
            )
        if name not in _OPERATORS:
            raise SyntaxError(f"unknown operator {name} in {self.latex!r}")
        return self._applied(_OPERATORS[name])

    def _bracketed(self):
        self._expect("[")
        body = self._sum()
        self._expect("]")
        return body

    def _applied(self, function, arguments=None):
        if arguments is None:
            self._expect("(")
            arguments = [self._sum()]
            while self._take(","):
                arguments.append(self._sum())
            self._expect(")")
        return lambda env: function(*(argument(env) for argument in arguments))

    def _parenthesis(self):
        kept, self._closing = self._closing, ()
        inner = self._sum()
        self._expect(")")
        self._closing = kept
        return inner

    def _iverson(self):
        left = self._sum()
        relation = self._rest.pop(0)
        right = self._sum()
        self._expect("]")
        compare = {"=": lambda a, b: a == b, "<": lambda a, b: a < b, ">": lambda a, b: a > b}
        return lambda env: int(bool(compare[relation](left(env), right(env))))

    def _enclosed(self, mark):
        kept, self._closing = self._closing, (mark,)
        inner = self._sum()
        self._expect(mark)
        self._closing = kept
        return inner

    def _absolute(self):
        inner = self._enclosed("|")
        return lambda env: abs(inner(env))

    def _norm(self):
        inner = self._enclosed("\\Vert")
        return lambda env: root(sum(entry**2 for entry in np.ravel(inner(env))))

    def _inner_product(self):
        left = self._sum()
        self._expect(",")
        right = self._enclosed("\\rangle")
        return lambda env: sum(np.ravel(left(env) * right(env)))

    def _indices(self):
        pieces, tokens = [[]], self._group()
        for token in tokens:
            if token == ",":
                pieces.append([])
            else:
                pieces[-1].append(token)
        readers = []
        for piece in pieces:
            if {"+", "-"} & set(piece):
                readers.append(self._within(piece, self._sum))
                continue
            kept, self._rest = self._rest, piece
            while self._rest:
                readers.append(self._index())
            self._rest = kept
        return lambda env: tuple(int(reader(env)) for reader in readers)

    def _index(self):
        token = self._rest.pop(0)
        if token.isdigit():  # x_1 is the first entry
            return lambda env: int(token) - 1
        inner = self._symbol(token)
        if self._take("_"):
            index = self._indices()
            return lambda env: read(inner(env), index(env))
        return inner


# What the formulas compute with: floats, SymPy's expressions, arrays of either. -----------------


def lookup(env, name):
    if name not in env:
        raise KeyError(f"the formula needs {name}; there are {sorted(env)}")
    value = env[name]
    return value(env) if callable(value) else value


def span(size):
    """What an index runs over."""
    return size if isinstance(size, range) else range(size)


def differentiate(value, by):
    """The derivative of each entry of value by each of by: a number, a row, a Jacobian."""
    result = np.empty(np.shape(value) + np.shape(by), dtype=object)
    entries = itertools.product(np.ravel(value), np.ravel(by))
    result.flat = [sympy.diff(one, other) for one, other in entries]
    return result if result.shape else result[()]


def read(array, index):
    """An entry, or 0 outside."""
    inside = all(0 <= i < size for i, size in zip(index, array.shape, strict=True))
    return array[index] if inside else 0


def multiply(a, b):
    """Numbers by numbers, arrays by numbers, matrices by matrices."""
    return a @ b if np.ndim(a) == np.ndim(b) == 2 else a * b


def convolve(a, b):
    return _convolution(a, b, convolve_full, flip=True)


def correlate(a, b):
    return _convolution(a, b, filter_valid, flip=False)


def _convolution(a, b, ours, flip):
    """Of numbers by the library; of symbols by loops, which the tests compare with the library."""
    if a.dtype != object:
        return ours(a, b)
    (H, W), (HH, WW) = a.shape, b.shape
    rows, columns = (H + HH - 1, W + WW - 1) if flip else (H - HH + 1, W - WW + 1)
    sign = -1 if flip else 1
    out = np.empty((rows, columns), dtype=object)
    for i, j in np.ndindex(rows, columns):
        out[i, j] = sum(
            read(a, (i + sign * k, j + sign * q)) * b[k, q] for k, q in np.ndindex(HH, WW)
        )
    return out


def expectation(body, env):
    """Sum over the outcomes: env["outcomes"] is a list of ({name: value}, probability)."""
    return sum(chance * body({**env, **values}) for values, chance in env["outcomes"])


def _either(of_numbers, of_symbols):
    def function(*arguments):
        symbolic = any(isinstance(a, sympy.Basic) and not a.is_number for a in arguments)
        if symbolic or all(isinstance(a, sympy.Basic) for a in arguments):
            return of_symbols(*arguments)
        return of_numbers(*(float(a) for a in arguments))

    return function


exp, ln, root = (
    _either(math.exp, sympy.exp),
    _either(math.log, sympy.log),
    _either(math.sqrt, sympy.sqrt),
)
largest, smallest = _either(max, sympy.Max), _either(min, sympy.Min)
_FUNCTIONS = {
    "\\ln": ln,
    "\\max": largest,
    "\\min": smallest,
    "\\tanh": _either(math.tanh, sympy.tanh),
}
_OPERATORS = {
    "sigmoid": lambda z: 1 / (1 + exp(-z)),
    "erf": _either(math.erf, sympy.erf),
    "erfc": _either(math.erfc, sympy.erfc),
}


def equations(label, **sizes):
    """The equations of a displayed block, read with these index ranges."""
    return [Formula(part, sizes) for part in re.split(r"\\qquad", BLOCKS[label])]
