// Parts of bundles in Cache Storage, by their contents: the same weights under another URL, or in a
// newer version of the file, are not loaded again.
//
// WEIGHTS is kept in pieces, so that an interrupted download goes on where it stopped.

const NAME = 'drift-1';
const ROOT = 'https://drift.invalid/';
export const PIECE_BYTES = 1 << 20;

/** The store, or `undefined` where there is none (private windows of some browsers) or it is off. */
export async function openCache(wanted) {
  if (wanted === false || !globalThis.caches) return undefined;
  try {
    return new PartCache(await caches.open(NAME));
  } catch (error) {
    console.warn('drift: no cache, every load downloads again:', error.message);
    return undefined;
  }
}

/** Forgets everything that was kept. */
export async function clearCache() {
  await globalThis.caches?.delete(NAME);
}

class PartCache {
  #full = false;

  constructor(cache) {
    this.cache = cache;
  }

  async get(key) {
    const response = await this.cache.match(ROOT + key);
    return response && new Uint8Array(await response.arrayBuffer());
  }

  async has(key) {
    return (await this.cache.match(ROOT + key)) !== undefined;
  }

  async put(key, bytes) {
    if (this.#full) return;
    try {
      await this.cache.put(ROOT + key, new Response(bytes));
    } catch (error) {
      // storage is full: what is kept stays, the rest is downloaded each time
      this.#full = true;
      console.warn('drift: the cache takes no more:', error.message);
    }
  }

  async delete(key) {
    await this.cache.delete(ROOT + key);
  }

  /** The head of a bundle by its URL: what a page without a network starts from. */
  head(url) {
    return `head/${encodeURIComponent(url)}`;
  }

  part(section, piece) {
    return `part/${section.hash}-${section.bytes}/${piece}`;
  }

  /** Forgets the pieces of a section. */
  async forget(section) {
    await this.delete(this.part(section, 'all'));
    for (let piece = 0; piece * PIECE_BYTES < Math.max(section.bytes, 1); piece++) {
      await this.delete(this.part(section, piece));
    }
  }
}
