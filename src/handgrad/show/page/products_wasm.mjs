/**
 * The matrix product of float32 in WebAssembly, four numbers an instruction: C += A B.
 *
 * It computes what `plainProduct` of `products.mjs` does, for whole blocks of rows and columns. The
 * instructions are assembled here, as a page brings no compiler; in plain words they are
 *
 *   for each block of columns j of B:
 *     for each block of rows i of A:
 *       sums = C[i ..., j ...]               (eight vectors, which stay in registers)
 *       for each k: for each of the rows r: sums[r] += A[i + r, k] * B[k, j ...]
 *       C[i ..., j ...] = sums
 *
 * A block is four rows and eight columns, and B's columns are copied to a panel first, so that what
 * is read over and over lies together; or, where B is read just once, one row and 32 columns.
 */

const I32 = 0x7f, V128 = 0x7b;

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
const until = (local, end, body) =>
  [0x03, 0x40, ...body, ...get(local), ...get(end), ...LESS, 0x0d, 0, 0x0b];

// Parameters: addresses and steps in bytes. Then the locals.
const NAMES = [
  "a", "b", "c", "panel", "rowsEnd", "bEnd", "rowBytes", "aRow", "aColumn",
  "jEnd", "i", "at", "end", "source", "a0", "a1", "a2", "a3", "c0", "c1", "c2", "c3",
];
const L = Object.fromEntries(NAMES.map((name, i) => [name, i]));
const PARAMETERS = 9, SUMS = 8, FIRST_SUM = NAMES.length, ONE = FIRST_SUM + SUMS, OF_B = ONE + 1;
const VECTORS = SUMS + 1 + SUMS;
const range = (count) => Array.from({ length: count }, (_, i) => i);

/** The function for blocks of so many rows, each of so many vectors of four columns. */
function blocksOf({ rows: ROWS, vectors, packed }) {
  const width = 16 * vectors; // a block's row in bytes
  const rows = range(ROWS), each = range(vectors);
  const sum = (row, vector) => FIRST_SUM + row * vectors + vector;
  const eachSum = (f) => rows.flatMap((row) => each.flatMap((vector) => f(row, vector)));

  const packPanel = [
    ...copy(L.b, L.source),
    ...copy(L.panel, L.at),
    ...until(L.source, L.bEnd, [
      ...each.flatMap((vector) =>
        [...get(L.at), ...get(L.source), ...load(16 * vector), ...store(16 * vector)]),
      ...advance(L.source, get(L.rowBytes)),
      ...advance(L.at, constant(width)),
    ]),
    ...copy(L.at, L.end),
  ];

  const oneBlock = [
    ...eachSum((row, vector) => [...get(L.c0 + row), ...load(16 * vector), ...set(sum(row, vector))]),
    ...copy(packed ? L.panel : L.b, L.at),
    ...until(L.at, packed ? L.end : L.bEnd, [
      ...each.flatMap((vector) => [...get(L.at), ...load(16 * vector), ...set(OF_B + vector)]),
      ...rows.flatMap((row) => [
        ...get(L.a0 + row), ...SPLAT, ...set(ONE),
        ...each.flatMap((vector) => [
          ...get(ONE), ...get(OF_B + vector), ...TIMES,
          ...get(sum(row, vector)), ...PLUS, ...set(sum(row, vector)),
        ]),
        ...advance(L.a0 + row, get(L.aColumn)),
      ]),
      ...advance(L.at, packed ? constant(width) : get(L.rowBytes)),
    ]),
    ...eachSum((row, vector) => [...get(L.c0 + row), ...get(sum(row, vector)), ...store(16 * vector)]),
  ];

  // The addresses of the block's rows, each a step behind the one before.
  const following = (first, start, step) => rows.flatMap((row) =>
    (row ? [...get(first + row - 1), ...step, ...ADD, ...set(first + row)] : copy(start, first)));
  const times = (local) => [...get(local), ...constant(ROWS), ...MULTIPLY];

  return [
    ...get(L.b), ...get(L.rowBytes), ...ADD, ...set(L.jEnd),
    ...until(L.b, L.jEnd, [
      ...(packed ? packPanel : []),
      ...copy(L.a, L.i),
      ...copy(L.c, L.source),
      ...until(L.i, L.rowsEnd, [
        ...following(L.a0, L.i, get(L.aRow)),
        ...following(L.c0, L.source, get(L.rowBytes)),
        ...oneBlock,
        ...advance(L.source, times(L.rowBytes)),
        ...advance(L.i, times(L.aRow)),
      ]),
      ...[L.b, L.bEnd, L.c].flatMap((local) => advance(local, constant(width))),
    ]),
  ];
}

const MANY_ROWS = { rows: 4, vectors: 2, packed: true };
const ONE_ROW = { rows: 1, vectors: 8, packed: false };

function section(id, content) {
  return [id, ...unsigned(content.length), ...content];
}
const text = (word) => [word.length, ...new TextEncoder().encode(word)];

function moduleBytes() {
  const locals = [2, ...unsigned(NAMES.length - PARAMETERS), I32, ...unsigned(VECTORS), V128];
  const functions = [MANY_ROWS, ONE_ROW].map((block) => {
    const code = [...locals, ...blocksOf(block), 0x0b];
    return [...unsigned(code.length), ...code];
  });
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, PARAMETERS, ...new Array(PARAMETERS).fill(I32), 0]),
    ...section(2, [1, ...text("page"), ...text("memory"), 2, 0, 1]),
    ...section(3, [2, 0, 0]),
    ...section(7, [2, ...text("manyRows"), 0, 0, ...text("oneRow"), 0, 1]),
    ...section(10, [2, ...functions.flat()]),
  ]);
}

let compiled = null;

/** The functions on a memory; null where the browser has no vectors, or the page's policy forbids. */
function functionsOn(memory) {
  try {
    compiled ??= new WebAssembly.Module(moduleBytes());
    return new WebAssembly.Instance(compiled, { page: { memory } }).exports;
  } catch (error) {
    if (error instanceof WebAssembly.CompileError || error instanceof EvalError) return null;
    throw error;
  }
}

/**
 * Make the product, or give null where there are no vectors.
 *
 * @returns {?(sizes, A, B, C) => void}  as `product` of products.mjs, for float32 alone
 */
export function vectorProduct() {
  if (typeof WebAssembly === "undefined") return null;
  const memory = new WebAssembly.Memory({ initial: 1 }), functions = functionsOn(memory);
  if (!functions) return null;
  return (sizes, A, B, C) => {
    if (sizes.rows >= MANY_ROWS.rows) multiplied(memory, functions.manyRows, MANY_ROWS, sizes, A, B, C);
    else if (!inPlace(sizes, A, B, C)) multiplied(memory, functions.oneRow, ONE_ROW, sizes, A, B, C);
  };
}

// Of a memory that holds a network's parameters: its function, and where there is room beside them.
const homes = new WeakMap();

/**
 * Arrays of float32 zeros; those of a large network lie in a memory of their own, in which a row is
 * multiplied with a weight without copying it.
 *
 * @param {number[]} sizes
 * @param {number} room  the most numbers that a row and its product have together
 * @returns {Float32Array[]}
 */
export function arraysFor(sizes, room) {
  const numbers = sizes.reduce((sum, size) => sum + size, 0) + 3 * room;
  const alone = () => sizes.map((size) => new Float32Array(size));
  if (Math.max(...sizes) < LARGE || typeof WebAssembly === "undefined") return alone();
  const memory = new WebAssembly.Memory({ initial: Math.ceil((4 * numbers) / 65536) });
  const functions = functionsOn(memory);
  if (!functions) return alone();
  const all = new Float32Array(memory.buffer);
  let start = 0;
  const arrays = sizes.map((size) => all.subarray(start, (start += size)));
  homes.set(memory.buffer, { oneRow: functions.oneRow, start, all });
  return arrays;
}

const LARGE = 100_000; // a memory of its own is large itself

/** Multiply up to three rows where B lies, if it can be done; tell whether. */
function inPlace({ rows: count, inner, columns }, A, B, C) {
  const home = homes.get(B.data.buffer);
  const straight = A.columnStep === 1 && B.columnStep === 1 && B.rowStep === columns;
  if (!home || !straight || columns % (4 * ONE_ROW.vectors)) return false;
  const { all, oneRow, start } = home, product = start + count * inner;
  if (product + count * columns > all.length) return false;
  copyRows(A, count, inner, A.rowStep, all, start, inner);
  copyRows(C, count, columns, columns, all, product, columns);
  const b = B.data.byteOffset + 4 * B.start;
  oneRow(
    4 * start, b, 4 * product, 0, 4 * product,
    b + 4 * columns * inner, 4 * columns, 4 * inner, 4,
  );
  C.data.set(all.subarray(product, product + count * columns), C.start);
  return true;
}

const upTo = (multiple, value) => Math.ceil(value / multiple) * multiple;

/** Copy the arrays in, with zeros up to whole blocks, run, and copy C out. */
function multiplied(memory, run, block, { rows: count, inner, columns }, A, B, C) {
  const high = upTo(block.rows, count), wide = upTo(4 * block.vectors, columns);
  // A keeps its order where it stands transposed: its steps are arguments.
  const turned = A.rowStep === 1 && A.columnStep !== 1;
  const [aRow, aColumn] = turned ? [1, high] : [inner, 1];
  const at = { A: 0, B: high * inner, C: (high + wide) * inner };
  at.panel = at.C + high * wide;
  const numbers = at.panel + inner * 4 * block.vectors;
  const missing = 4 * numbers - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  const all = new Float32Array(memory.buffer);
  if (turned) copyRows(A, inner, count, A.columnStep, all, at.A, high);
  else copyRows(A, count, inner, A.rowStep, all, at.A, inner);
  if (!turned && high > count) all.fill(0, at.A + count * inner, at.B);
  if (B.columnStep === 1) copyRows(B, inner, columns, B.rowStep, all, at.B, wide);
  else copyTurned(B, inner, columns, all, at.B, wide);
  copyRows(C, count, columns, columns, all, at.C, wide);
  const bytes = (address) => 4 * address;
  run(
    bytes(at.A), bytes(at.B), bytes(at.C), bytes(at.panel), bytes(at.A + high * aRow),
    bytes(at.C), bytes(wide), bytes(aRow), bytes(aColumn),
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
