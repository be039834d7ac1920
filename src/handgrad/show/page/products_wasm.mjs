/**
 * The matrix product of float32 in WebAssembly, four numbers an instruction: C += A B.
 *
 * It computes what `plainProduct` of `products.mjs` does, for rows in fours and columns in eights.
 * The instructions are assembled here, as a page brings no compiler; in plain words they are
 *
 *   for each eight columns j of B:
 *     copy them to a panel, so that what is read over and over lies together
 *     for each four rows i of A:
 *       sums = C[i .. i + 3, j .. j + 7]            (eight vectors, which stay in registers)
 *       for each k: for each of the rows r: sums[r] += A[i + r, k] * panel[k]
 *       C[i .. i + 3, j .. j + 7] = sums
 */

const I32 = 0x7f, V128 = 0x7b, ROWS = 4, COLUMNS = 8, WIDTH = 4 * COLUMNS; // a panel's row in bytes

// Numbers as the format has them: seven bits a byte, the last byte's highest bit 0.
function unsigned(value) {
  const bytes = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value];
}
const constant = (value) => [0x41, ...signed(value)];
function signed(value) {
  const bytes = [];
  for (; value < -64 || value > 63; value >>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value & 127];
}

const simd = (code, ...more) => [0xfd, ...unsigned(code), ...more];
const get = (local) => [0x20, ...unsigned(local)];
const set = (local) => [0x21, ...unsigned(local)];
const ADD = [0x6a], MULTIPLY = [0x6c], LESS = [0x49];
const load = (offset) => simd(0, 4, ...unsigned(offset)); // alignment 2^4
const store = (offset) => simd(11, 4, ...unsigned(offset));
const SPLAT = simd(9, 2, 0); // one float32 of memory, four times
const TIMES = simd(230), PLUS = simd(228);
const advance = (local, by) => [...get(local), ...by, ...ADD, ...set(local)];
const copy = (from, to) => [...get(from), ...set(to)];
/** Run body until `local`, which it advances, reaches `end`; at least once. */
const until = (local, end, body) => [0x03, 0x40, ...body, ...get(local), ...get(end), ...LESS, 0x0d, 0, 0x0b];

// Parameters: addresses and steps in bytes. Then the locals.
const NAMES = [
  "a", "b", "c", "panel", "rowsEnd", "panelEnd", "rowBytes", "aRow", "aColumn",
  "jEnd", "i", "at", "source", "a0", "a1", "a2", "a3", "c0", "c1", "c2", "c3",
];
const L = Object.fromEntries(NAMES.map((name, i) => [name, i]));
const PARAMETERS = 9, FIRST_SUM = NAMES.length, LEFT = FIRST_SUM + 2 * ROWS, RIGHT = LEFT + 1, ONE = LEFT + 2;
const rows = [0, 1, 2, 3];
const sum = (row, half) => FIRST_SUM + 2 * row + half;

const packPanel = [
  ...copy(L.b, L.source),
  ...copy(L.panel, L.at),
  ...until(L.at, L.panelEnd, [
    ...[0, 16].flatMap((half) => [...get(L.at), ...get(L.source), ...load(half), ...store(half)]),
    ...advance(L.source, get(L.rowBytes)),
    ...advance(L.at, constant(WIDTH)),
  ]),
];

const eachSum = (f) => rows.flatMap((row) => [0, 1].flatMap((half) => f(row, half)));

const fourRows = [
  ...eachSum((row, half) => [...get(L.c0 + row), ...load(16 * half), ...set(sum(row, half))]),
  ...copy(L.panel, L.at),
  ...until(L.at, L.panelEnd, [
    ...get(L.at), ...load(0), ...set(LEFT),
    ...get(L.at), ...load(16), ...set(RIGHT),
    ...rows.flatMap((row) => [
      ...get(L.a0 + row), ...SPLAT, ...set(ONE),
      ...[LEFT, RIGHT].flatMap((vector, half) => [
        ...get(ONE), ...get(vector), ...TIMES, ...get(sum(row, half)), ...PLUS, ...set(sum(row, half)),
      ]),
      ...advance(L.a0 + row, get(L.aColumn)),
    ]),
    ...advance(L.at, constant(WIDTH)),
  ]),
  ...eachSum((row, half) => [...get(L.c0 + row), ...get(sum(row, half)), ...store(16 * half)]),
];

// The addresses of four rows, each a step behind the one before.
const following = (first, start, step) => rows.flatMap((row) =>
  (row ? [...get(first + row - 1), ...step, ...ADD, ...set(first + row)] : copy(start, first)));

const BODY = [
  ...get(L.b), ...get(L.rowBytes), ...ADD, ...set(L.jEnd),
  ...until(L.b, L.jEnd, [
    ...packPanel,
    ...copy(L.a, L.i),
    ...copy(L.c, L.c3),
    ...until(L.i, L.rowsEnd, [
      ...following(L.a0, L.i, get(L.aRow)),
      ...following(L.c0, L.c3, get(L.rowBytes)),
      ...fourRows,
      ...advance(L.c3, get(L.rowBytes)),
      ...advance(L.i, [...get(L.aRow), ...constant(ROWS), ...MULTIPLY]),
    ]),
    ...advance(L.c, constant(WIDTH)),
    ...advance(L.b, constant(WIDTH)),
  ]),
];

function section(id, content) {
  return [id, ...unsigned(content.length), ...content];
}
const text = (word) => [word.length, ...new TextEncoder().encode(word)];

function moduleBytes() {
  const locals = [2, ...unsigned(NAMES.length - PARAMETERS), I32, ...unsigned(2 * ROWS + 3), V128];
  const code = [...locals, ...BODY, 0x0b];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, PARAMETERS, ...new Array(PARAMETERS).fill(I32), 0]),
    ...section(2, [1, ...text("page"), ...text("memory"), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...text("multiply"), 0, 0]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ]);
}

/**
 * Make the product, or give null where the browser has no vectors in WebAssembly, or the page's
 * policy forbids it.
 *
 * @returns {?(sizes, A, B, C) => void}  as `product` of products.mjs, for float32 alone
 */
export function vectorProduct() {
  if (typeof WebAssembly === "undefined") return null;
  const memory = new WebAssembly.Memory({ initial: 1 });
  let multiply;
  try {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()), { page: { memory } });
    ({ multiply } = instance.exports);
  } catch (error) {
    if (error instanceof WebAssembly.CompileError || error instanceof EvalError) return null;
    throw error;
  }
  return (sizes, A, B, C) => multiplied(memory, multiply, sizes, A, B, C);
}

const upTo = (multiple, value) => Math.ceil(value / multiple) * multiple;

/** Copy the arrays in, with zeros up to whole blocks, run, and copy C out. */
function multiplied(memory, multiply, { rows: count, inner, columns }, A, B, C) {
  const high = upTo(ROWS, count), wide = upTo(COLUMNS, columns);
  // A keeps its order where it stands transposed: its steps are arguments.
  const turned = A.rowStep === 1 && A.columnStep !== 1;
  const [aRow, aColumn] = turned ? [1, high] : [inner, 1];
  const at = { A: 0, B: high * inner, C: (high + wide) * inner };
  at.panel = at.C + high * wide;
  const numbers = at.panel + inner * COLUMNS, missing = 4 * numbers - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  const all = new Float32Array(memory.buffer);
  if (turned) copyRows(A, inner, count, A.columnStep, all, at.A, high);
  else copyRows(A, count, inner, A.rowStep, all, at.A, inner);
  if (!turned && high > count) all.fill(0, at.A + count * inner, at.B);
  if (B.columnStep === 1) copyRows(B, inner, columns, B.rowStep, all, at.B, wide);
  else copyTurned(B, inner, columns, all, at.B, wide);
  copyRows(C, count, columns, columns, all, at.C, wide);
  const bytes = (address) => 4 * address;
  multiply(
    bytes(at.A), bytes(at.B), bytes(at.C), bytes(at.panel), bytes(at.A + high * aRow),
    bytes(numbers), bytes(wide), bytes(aRow), bytes(aColumn),
  );
  for (let i = 0; i < count; i++) {
    const start = at.C + i * wide;
    C.data.set(all.subarray(start, start + columns), C.start + i * columns);
  }
}

/** Rows of `length` numbers, `step` apart, to rows of `wide` numbers, filled up with zeros. */
function copyRows({ data, start }, count, length, step, to, at, wide) {
  if (length === step && length === wide) {
    to.set(data.subarray(start, start + count * length), at);
    return;
  }
  for (let i = 0; i < count; i++) {
    to.set(data.subarray(start + i * step, start + i * step + length), at + i * wide);
    to.fill(0, at + i * wide + length, at + (i + 1) * wide);
  }
}

/** B where it stands transposed: its columns lie together. */
function copyTurned({ data, start, rowStep, columnStep }, inner, columns, to, at, wide) {
  if (wide > columns) to.fill(0, at, at + inner * wide);
  const BLOCK = 32; // few enough that both sides stay in the cache
  for (let first = 0; first < inner; first += BLOCK) {
    for (let j = 0; j < columns; j++) {
      const end = Math.min(inner, first + BLOCK), column = start + j * columnStep;
      for (let k = first; k < end; k++) to[at + k * wide + j] = data[column + k * rowStep];
    }
  }
}
