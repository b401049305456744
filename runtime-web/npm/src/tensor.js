// Elements at the boundary: typed arrays of the page, bytes of the device.
import { DriftError, assert } from './errors.js';

const F32 = 1;
const F16 = 2;
const I64 = 10;
const U64 = 11;
const BOOL = 12;
const BF16 = 13;

/** By number of the element type, as the bundle has it. */
const ARRAYS = {
  [F32]: Float32Array,
  3: Float64Array,
  4: Int8Array,
  5: Uint8Array,
  6: Int16Array,
  7: Uint16Array,
  8: Int32Array,
  9: Uint32Array,
  [I64]: BigInt64Array,
  [U64]: BigUint64Array,
};

/** Halves and brain floats are handed over as float32, bool as 0 and 1 in bytes. */
function outside(elem) {
  if (elem === F16 || elem === BF16) return F32;
  return elem;
}

function arrayOf(elem) {
  return elem === BOOL ? Uint8Array : ARRAYS[outside(elem)];
}

/** What the page gets to see of a tensor. */
export function describe(io) {
  const shape = Object.freeze([...io.shape]);
  return Object.freeze({ name: io.name, type: io.type, shape, size: elems(io) });
}

export function elems(io) {
  return io.shape.reduce((n, d) => n * d, 1);
}

function bytesOf(array) {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** A plain list as a typed array of the input's type. */
function typed(io, list) {
  const Type = arrayOf(io.elem);
  const big = io.elem === I64 || io.elem === U64;
  return Type.from(list, big ? BigInt : Number);
}

/** The device's bytes of an input. A typed array of the device's own type is passed on as it is. */
export function toDevice(wasm, io, given) {
  const what = `input "${io.name}"`;
  let data = given;
  if (Array.isArray(given)) {
    try {
      data = typed(io, given.flat(Infinity));
    } catch (error) {
      throw new DriftError('input', `${what}: ${error.message}`);
    }
  }
  assert(ArrayBuffer.isView(data) && data.length !== undefined, 'input',
    `${what} takes a typed array of ${io.type} (shape ${io.shape.join('x')})`);
  assert(data.length === elems(io), 'input',
    `${what}: ${data.length} elements given, the model takes ${elems(io)} (shape ${io.shape.join('x')})`);
  const type = typeOf(data);
  assert(type !== undefined, 'input', `${what}: ${data.constructor.name} is not supported`);
  if (type === io.device && (io.elem === type || outside(io.elem) === type)) return bytesOf(data);
  const given8 = type === 5 && io.elem === BOOL ? BOOL : type;
  return wasm.with(bytesOf(data), (at, bytes) => {
    const { to_device } = wasm.exports;
    if (to_device(given8, io.elem, io.device, data.length, at, bytes) < 0) {
      const error = wasm.error();
      throw new DriftError(error.code, `${what}: ${error.message}`);
    }
    return wasm.answer();
  });
}

function typeOf(array) {
  if (globalThis.Float16Array && array instanceof Float16Array) return F16;
  if (array instanceof Uint8ClampedArray) return 5;
  const found = Object.entries(ARRAYS).find(([, Type]) => array instanceof Type);
  return found && Number(found[0]);
}

/** An output as a typed array of its own; `bytes` are the device's. */
export function fromDevice(wasm, io, bytes) {
  const elem = outside(io.elem);
  const Type = arrayOf(io.elem);
  if (elem === io.device) return new Type(bytes.slice().buffer);
  return wasm.with(bytes, (at, n) => {
    wasm.check(wasm.exports.from_device(elem, io.device, elems(io), at, n));
    return new Type(wasm.answer().buffer);
  });
}
