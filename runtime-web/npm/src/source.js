// Where the bytes of a bundle come from: a server with or without byte ranges, or a Blob.
import { DriftError, assert, wrapped } from './errors.js';

const RETRIES = 3;

/**
 * A source gives `read(offset, bytes)`: an async iterator of Uint8Array chunks, as many bytes in all.
 * `reopens` tells whether any range can be read at any time; otherwise offsets only grow.
 */
export function sourceOf(from, options) {
  if (from instanceof Blob) return new BlobSource(from);
  if (from instanceof ArrayBuffer || ArrayBuffer.isView(from)) return new BlobSource(new Blob([from]));
  if (typeof from === 'string' || from instanceof URL) {
    return new HttpSource(new URL(from, globalThis.location?.href), options);
  }
  throw new DriftError('input', 'load takes a URL, a Blob (or File), or bytes');
}

class BlobSource {
  reopens = true;
  url = undefined;

  constructor(blob) {
    this.blob = blob;
    this.bytes = blob.size;
  }

  async *read(offset, bytes) {
    yield* chunks(this.blob.slice(offset, offset + bytes).stream().getReader());
  }
}

async function* chunks(reader) {
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

class HttpSource {
  /** Known after the first answer. */
  reopens = undefined;
  bytes = undefined;
  /** Tells versions of the file apart, for requests after the first. */
  #tag = undefined;
  /** Without ranges: the one stream, how far it is, and bytes read too far. */
  #stream = undefined;
  #at = 0;
  #rest = undefined;

  constructor(url, { signal, fetchOptions } = {}) {
    this.url = url.href;
    this.signal = signal;
    this.fetchOptions = fetchOptions;
  }

  async *read(offset, bytes) {
    if (this.reopens === false) {
      yield* this.#forward(offset, bytes);
      return;
    }
    let done = 0;
    for (let failures = 0; done < bytes; ) {
      const before = done;
      try {
        const response = await this.#request(offset + done, bytes - done);
        if (this.reopens === false) {
          yield* this.#forward(offset + done, bytes - done);
          return;
        }
        for await (const chunk of chunks(response.body.getReader())) {
          done += chunk.byteLength;
          yield chunk;
        }
        // a server may send less than was asked for: the file ends there
        if (done === before || this.bytes <= offset + done) return;
      } catch (error) {
        if (this.signal?.aborted || error instanceof DriftError) throw error;
        failures = done > before ? 1 : failures + 1;
        if (failures > RETRIES) throw wrapped(error, 'network', `${this.url} at byte ${offset + done}`);
        await new Promise((resume) => setTimeout(resume, 200 * 2 ** failures));
      }
    }
  }

  async #request(offset, bytes) {
    const headers = { ...this.fetchOptions?.headers, Range: `bytes=${offset}-${offset + bytes - 1}` };
    const response = await fetch(this.url, {
      ...this.fetchOptions,
      headers,
      signal: this.signal,
      // parts are kept by their contents, so the browser's own cache need not keep them again
      cache: 'no-store',
    });
    if (response.status === 416) {
      const total = Number(response.headers.get('content-range')?.split('/')[1]);
      throw new DriftError('truncated', `${this.url} ends at byte ${total || '?'}, before ${offset}`);
    }
    assert(response.ok, 'network', `${this.url}: HTTP status ${response.status} ${response.statusText}`);
    const tag = response.headers.get('etag') ?? response.headers.get('last-modified');
    assert(
      this.reopens === undefined || tag === this.#tag,
      'changed',
      `${this.url} changed while it was loaded; load it again`,
    );
    this.#tag = tag;
    if (response.status === 206) {
      this.reopens = true;
      const total = Number(response.headers.get('content-range')?.split('/')[1]);
      if (Number.isSafeInteger(total)) this.bytes = total;
      this.bytes ??= Infinity;
      return response;
    }
    // 200: the whole file, whatever was asked for
    assert(this.reopens === undefined, 'network', `${this.url}: the server stopped to serve ranges`);
    this.reopens = false;
    const length = response.headers.get('content-length');
    const coded = response.headers.get('content-encoding');
    this.bytes = length && !coded ? Number(length) : undefined;
    this.#stream = chunks(response.body.getReader());
    return response;
  }

  async *#forward(offset, bytes) {
    assert(offset >= this.#at, 'internal', 'a stream does not go back');
    for (let left = bytes; left > 0; ) {
      let chunk = this.#rest;
      this.#rest = undefined;
      if (!chunk) {
        let next;
        try {
          next = await this.#stream.next();
        } catch (error) {
          throw wrapped(error, 'network', `${this.url} at byte ${this.#at}`);
        }
        if (next.done) return;
        chunk = next.value;
      }
      const skip = Math.min(offset - this.#at, chunk.byteLength);
      if (skip > 0) {
        this.#at += skip;
        chunk = chunk.subarray(skip);
        if (chunk.byteLength === 0) continue;
      }
      const take = Math.min(left, chunk.byteLength);
      if (take < chunk.byteLength) this.#rest = chunk.subarray(take);
      this.#at += take;
      offset += take;
      left -= take;
      yield chunk.subarray(0, take);
    }
  }

  /** Ends the download of what nobody reads any more. */
  async cancel() {
    await this.#stream?.return();
  }
}

/** All bytes of a range; an error if there are fewer. */
export async function readAll(source, offset, bytes) {
  const all = new Uint8Array(bytes);
  let at = 0;
  for await (const chunk of source.read(offset, bytes)) {
    all.set(chunk.subarray(0, bytes - at), at);
    at += chunk.byteLength;
  }
  if (at < bytes) {
    throw new DriftError('truncated', `the file ends at byte ${offset + at}, ${offset + bytes} are needed`);
  }
  return all;
}
