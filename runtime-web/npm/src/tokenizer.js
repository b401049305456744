// The tokenizer: a WebAssembly module of its own, loaded with the first language model.
import { DriftError } from './errors.js';
import { unicode } from './unicode.js';
import { Wasm, instantiate } from './wasm.js';

// a byte order mark is text like any other
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

let shared;

function module() {
  let made;
  const imports = { page: unicode(() => made) };
  shared ??= instantiate(new URL('./tokenizer.wasm', import.meta.url), imports).then(
    (exports) => new Wasm((made = exports)),
    (error) => {
      shared = undefined;
      throw error;
    },
  );
  return shared;
}

const bytes = (ids) => new Uint8Array(Uint32Array.from(ids).buffer);

export class Tokenizer {
  #wasm;
  #at;

  static async open(json) {
    return new Tokenizer(await module(), json);
  }

  constructor(wasm, json) {
    this.#wasm = wasm;
    this.#at = wasm.with(json, (at, n) => wasm.exports.open(at, n));
    if (!this.#at) throw new DriftError('malformed', this.#string());
  }

  #string() {
    return decoder.decode(this.#wasm.answer());
  }

  #ids(status) {
    if (status < 0) throw new DriftError('input', this.#string());
    return new Uint32Array(this.#wasm.answer().buffer);
  }

  encode(text, special) {
    const { encode } = this.#wasm.exports;
    return this.#wasm.with(encoder.encode(text), (at, n) =>
      this.#ids(encode(this.#at, at, n, special ? 1 : 0)),
    );
  }

  decode(ids, special) {
    const { decode } = this.#wasm.exports;
    this.#wasm.with(bytes(ids), (at, n) => decode(this.#at, at, n / 4, special ? 1 : 0));
    return this.#string();
  }

  /** Ids that every text begins with. */
  prefix() {
    return this.#ids(this.#wasm.exports.prefix(this.#at));
  }

  /** Ids to text one by one, behind these. Close it, and before the tokenizer. */
  stream(ids) {
    const { stream_open, stream_push, stream_finish, stream_close } = this.#wasm.exports;
    const at = this.#wasm.with(bytes(ids), (from, n) => stream_open(this.#at, from, n / 4));
    return {
      push: (id) => (stream_push(at, id), this.#string()),
      finish: () => (stream_finish(at), this.#string()),
      close: () => stream_close(at),
    };
  }

  close() {
    this.#wasm.exports.close(this.#at);
  }
}
