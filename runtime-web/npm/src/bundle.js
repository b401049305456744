// A bundle on its way in: header, table, the sections of the chosen variant, weights as a stream.
import { DriftError, assert } from './errors.js';
import { PIECE_BYTES } from './cache.js';
import { readAll } from './source.js';

/** Read at once at the start: header and table, and for most models all but shaders and weights. */
const HEAD_BYTES = 64 << 10;
/** Bytes that tell the length of header and table. */
const FIXED_BYTES = 36;

const decoder = new TextDecoder();

function joined(parts, bytes) {
  const all = new Uint8Array(bytes);
  parts.reduce((at, part) => (all.set(part, at), at + part.byteLength), 0);
  return all;
}

export class BundleReader {
  #reader = 0;
  #head;
  /** Sections that were read, by their entry of the table. */
  #parts = new Map();
  #loaded = 0;

  constructor(wasm, source, cache, report) {
    this.wasm = wasm;
    this.source = source;
    this.cache = cache;
    this.report = report;
    this.total = undefined;
    this.cachedBytes = 0;
  }

  /** Reads header and table, META and what each variant requires. */
  async open() {
    await this.#readHead();
    const { wasm } = this;
    this.#reader = wasm.with(this.#head, (at, bytes) => wasm.exports.open(at, bytes));
    if (!this.#reader) throw wasm.error();
    this.table = wasm.json();
    const { bytes } = this.source;
    assert(
      bytes === undefined || bytes === Infinity || bytes === this.table.bytes,
      bytes < this.table.bytes ? 'truncated' : 'damaged',
      `the file has ${bytes} bytes, its header says ${this.table.bytes}; upload or download it again`,
    );
    await this.#rememberHead();
    if (this.source.reopens === false) await this.#readAhead();
    this.meta = this.#ask('read_meta', await this.section('META'));
    for (let v = 0; v < this.table.variants; v++) {
      const part = await this.section('REQUIREMENTS', v);
      wasm.with(part, (at, n) => wasm.check(wasm.exports.read_requirements(this.#reader, at, n)));
    }
  }

  async #readHead() {
    const { cache, source } = this;
    const kept = cache && (await cache.get(cache.head(source.url)));
    try {
      // a bundle that is known is asked for its table, which has the hashes of all sections
      const table = kept && kept.subarray(0, this.#tableBytes(kept));
      const start = await this.#firstBytes(table?.byteLength ?? HEAD_BYTES);
      const same = table && start.byteLength === table.byteLength && start.every((b, i) => b === table[i]);
      this.#head = same ? kept : await this.#wholeHead(start);
    } catch (error) {
      // without a network, the file as it was when it was last seen
      if (error.code !== 'network' || !kept) throw error;
      this.#head = kept;
    }
  }

  #tableBytes(head) {
    const { wasm } = this;
    return wasm.with(head.subarray(0, FIXED_BYTES), (at, n) =>
      wasm.check(wasm.exports.table_bytes(at, n)),
    );
  }

  async #firstBytes(most) {
    const parts = [];
    let bytes = 0;
    for await (const chunk of this.source.read(0, most)) {
      parts.push(chunk);
      bytes += chunk.byteLength;
    }
    return joined(parts, bytes);
  }

  /** Reads on behind the first bytes, as far as the table reaches. */
  async #wholeHead(start) {
    const needed = this.#tableBytes(start);
    if (needed <= start.byteLength) return start;
    const rest = await readAll(this.source, start.byteLength, needed - start.byteLength);
    return joined([start, rest], needed);
  }

  /** Keeps the head; what an older version of this file had and this one has not is forgotten. */
  async #rememberHead() {
    const { cache, source } = this;
    if (!cache || !source.url) return;
    const key = cache.head(source.url);
    const list = new TextEncoder().encode(JSON.stringify(this.table.sections));
    const before = await cache.get(`${key}/sections`);
    if (before) {
      const same = new Set(this.table.sections.map((s) => cache.part(s, 0)));
      for (const s of JSON.parse(decoder.decode(before))) {
        if (!same.has(cache.part(s, 0))) await cache.forget(s);
      }
    }
    await cache.put(key, this.#head);
    await cache.put(`${key}/sections`, list);
  }

  /** From a server without ranges, everything in front of the weights comes in one go. */
  async #readAhead() {
    const weights = this.#find('WEIGHTS');
    const end = weights ? weights.offset : this.table.bytes;
    if (end <= this.#head.byteLength) return;
    const from = this.#head.byteLength;
    this.#head = joined([this.#head, await readAll(this.source, from, end - from)], end);
  }

  #find(kind, variant = null) {
    return this.table.sections.find((s) => s.kind === kind && s.variant === variant);
  }

  has(kind) {
    return this.#find(kind) !== undefined;
  }

  /** Bytes of a small section. The Rust side compares them with their hash. */
  async section(kind, variant = null) {
    const info = this.#find(kind, variant);
    assert(info, 'malformed', `the bundle has no section ${kind}`);
    const known = this.#parts.get(info);
    if (known) return known;
    const end = info.offset + info.bytes;
    let bytes;
    if (end <= this.#head.byteLength) {
      bytes = this.#head.subarray(info.offset, end);
    } else {
      const key = this.cache?.part(info, 'all');
      bytes = await this.cache?.get(key);
      if (bytes) {
        this.cachedBytes += info.bytes;
      } else {
        bytes = await readAll(this.source, info.offset, info.bytes);
        await this.cache?.put(key, bytes);
      }
    }
    this.#parts.set(info, bytes);
    this.#count(info.bytes);
    return bytes;
  }

  /** Number of the best variant for a device; an error says what each of them lacks. */
  choose({ numbers, name }) {
    const { wasm } = this;
    const text = new TextEncoder().encode(name);
    const list = new Uint8Array(numbers.buffer);
    const best = wasm.with(list, (at) =>
      wasm.with(text, (to, n) => wasm.exports.choose(this.#reader, at, numbers.length, to, n)),
    );
    const rejected = wasm.json();
    if (rejected.code) throw wasm.error();
    if (best >= 0) return { best, rejected };
    const lines = rejected.map((r) => `\n  ${r.target}:${r.unmet.map((u) => `\n    ${u}`).join('')}`);
    const message =
      `no variant of the bundle fits ${name}:${lines.join('')}\n` +
      'compile the model with --target webgpu-generic, too';
    throw Object.assign(new DriftError('no-variant', message), { rejected });
  }

  /** The program of a variant, and its shaders' bytes. */
  async variant(number) {
    const { wasm } = this;
    const weights = this.#find('WEIGHTS');
    const wanted = [
      this.#find('PLAN', number),
      this.#find('SHADERS', number),
      this.#find('ASSETS'),
      weights,
    ];
    const sizes = wanted.map((s) => s?.bytes ?? 0);
    this.total = this.#loaded + sizes.reduce((sum, n) => sum + n, 0);
    const plan = await this.section('PLAN', number);
    const shaders = await this.section('SHADERS', number);
    wasm.with(plan, (at, bytes) =>
      wasm.with(shaders, (from, n) =>
        wasm.check(wasm.exports.read_variant(this.#reader, number, at, bytes, from, n)),
      ),
    );
    return { program: wasm.json(), shaders };
  }

  /** Assets by name. */
  async assets() {
    if (!this.has('ASSETS')) return new Map();
    const bytes = await this.section('ASSETS');
    const rows = this.#ask('read_assets', bytes);
    return new Map(rows.map(([name, start, end]) => [name, bytes.subarray(start, end)]));
  }

  /** Hands the weights to `sink(offset, bytes)` in order while they come, and checks their hash. */
  async weights(sink) {
    const info = this.#find('WEIGHTS');
    if (!info) return;
    const { wasm } = this;
    const hash = wasm.exports.hash_new();
    const before = this.cachedBytes;
    let at = 0;
    for await (const chunk of this.#stream(info)) {
      wasm.with(chunk, (from, bytes) => wasm.exports.hash_update(hash, from, bytes));
      await sink(at, chunk);
      at += chunk.byteLength;
      this.#count(chunk.byteLength);
    }
    try {
      assert(
        at === info.bytes,
        'truncated',
        `the file ends after ${info.offset + at} of ${this.table.bytes} bytes; download it again`,
      );
      wasm.check(wasm.exports.check_weights(this.#reader, hash));
    } catch (error) {
      // what was kept must not be met again
      if (this.cache) await this.cache.forget(info);
      error.fromCache = this.cachedBytes > before;
      throw error;
    }
  }

  /** Bytes of the file; those that came with the head are not read again. */
  async *#read(offset, bytes) {
    const known = this.#head.subarray(offset, offset + bytes);
    if (known.byteLength > 0) yield known;
    const left = bytes - known.byteLength;
    if (left > 0) yield* this.source.read(offset + known.byteLength, left);
  }

  async *#stream(info) {
    const { cache } = this;
    if (!cache) {
      yield* this.#read(info.offset, info.bytes);
      return;
    }
    const count = Math.ceil(info.bytes / PIECE_BYTES);
    const keys = Array.from({ length: count }, (_, i) => cache.part(info, i));
    for (let piece = 0; piece < count; ) {
      const kept = await cache.get(keys[piece]);
      if (kept) {
        this.cachedBytes += kept.byteLength;
        yield kept;
        piece++;
        continue;
      }
      // all that is missing from here on comes with one request
      let end = piece + 1;
      while (end < count && !(await cache.has(keys[end]))) end++;
      const from = piece * PIECE_BYTES;
      const bytes = Math.min(end * PIECE_BYTES, info.bytes) - from;
      let parts = [];
      let held = 0;
      for await (let chunk of this.#read(info.offset + from, bytes)) {
        while (chunk.byteLength > 0) {
          const room = Math.min(PIECE_BYTES, info.bytes - piece * PIECE_BYTES) - held;
          const now = chunk.subarray(0, room);
          parts.push(now);
          held += now.byteLength;
          yield now;
          chunk = chunk.subarray(now.byteLength);
          if (now.byteLength === room) {
            await cache.put(keys[piece], new Blob(parts));
            [parts, held] = [[], 0];
            piece++;
          }
        }
      }
      if (piece < end) return; // the file is shorter than it should be
    }
  }

  #count(bytes) {
    this.#loaded += bytes;
    if (this.total) this.report({ stage: 'download', loaded: this.#loaded, total: this.total });
  }

  #ask(name, bytes) {
    const { wasm } = this;
    wasm.with(bytes, (at, n) => wasm.check(wasm.exports[name](this.#reader, at, n)));
    return wasm.json();
  }

  close() {
    if (this.#reader) this.wasm.exports.close(this.#reader);
    this.#reader = 0;
    this.source.cancel?.();
  }
}
