// The Rust half: one WebAssembly module for all models of the page.
import { DriftError, wrapped } from './errors.js';

const decoder = new TextDecoder();

/** Compiles a module that lies beside this file. */
export async function instantiate(url, imports) {
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    // servers that do not know the type of .wasm files are common
    const typed = response.headers.get('content-type')?.startsWith('application/wasm');
    const compiled = typed
      ? await WebAssembly.instantiateStreaming(response, imports)
      : await WebAssembly.instantiate(await response.arrayBuffer(), imports);
    return compiled.instance.exports;
  } catch (error) {
    throw wrapped(error, 'network', `cannot load ${url}`);
  }
}

/** Calls into one instance: bytes in, answers out. */
export class Wasm {
  constructor(exports) {
    this.exports = exports;
  }

  /** Runs `use(pointer)` with these bytes in the module's memory. */
  with(bytes, use) {
    const at = this.exports.reserve(bytes.byteLength) >>> 0;
    try {
      this.view(at, bytes.byteLength).set(bytes);
      return use(at, bytes.byteLength);
    } finally {
      this.exports.release(at, bytes.byteLength);
    }
  }

  /** Memory may move with any call: never keep a view. */
  view(at, bytes) {
    return new Uint8Array(this.exports.memory.buffer, at, bytes);
  }

  /** Bytes of the last answer, as a copy. */
  answer() {
    const { answer_ptr, answer_len } = this.exports;
    return this.view(answer_ptr() >>> 0, answer_len() >>> 0).slice();
  }

  json() {
    const { answer_ptr, answer_len } = this.exports;
    return JSON.parse(decoder.decode(this.view(answer_ptr() >>> 0, answer_len() >>> 0)));
  }

  error() {
    const { code, message } = this.json();
    return new DriftError(code, message);
  }

  /** The status of a call, or its error. */
  check(status) {
    if (status < 0) throw this.error();
    return status;
  }
}

let shared;

/** The module that reads bundles; fetched once. */
export function runtime() {
  shared ??= instantiate(new URL('./drift.wasm', import.meta.url)).then(
    (exports) => new Wasm(exports),
    (error) => {
      shared = undefined; // the next load tries again
      throw error;
    },
  );
  return shared;
}
