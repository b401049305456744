// Regular expressions and normal forms for the tokenizer's module, which brings none along.

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

const FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'];

/** Bytes of UTF-8 that a stretch of a string takes. */
function bytesOf(text, from, to) {
  let bytes = 0;
  for (let i = from; i < to; i++) {
    const c = text.charCodeAt(i);
    // halves of a pair: two bytes each
    bytes += c < 0x80 ? 1 : c < 0x800 || (c >= 0xd800 && c < 0xe000) ? 2 : 3;
  }
  return bytes;
}

/** Imports of a module whose exports `module()` gives once it is there. */
export function unicode(module) {
  const regexes = [];
  const read = (at, bytes) =>
    decoder.decode(new Uint8Array(module().memory.buffer, at >>> 0, bytes));
  const tell = (bytes) => {
    const at = module().inbox(bytes.byteLength) >>> 0;
    new Uint8Array(module().memory.buffer, at, bytes.byteLength).set(bytes);
  };
  /** A number, or -1 and the reason told. */
  const told = (work) => {
    try {
      return work();
    } catch (error) {
      tell(encoder.encode(String(error.message ?? error)));
      return -1;
    }
  };
  return {
    regex_new: (at, n) => told(() => regexes.push(new RegExp(read(at, n), 'gv')) - 1),
    regex_find: (regex, at, n) =>
      told(() => {
        const text = read(at, n);
        const places = [];
        let [seen, bytes] = [0, 0];
        for (const { index, 0: found } of text.matchAll(regexes[regex])) {
          for (const to of [index, index + found.length]) {
            bytes += bytesOf(text, seen, to);
            seen = to;
            places.push(bytes);
          }
        }
        tell(new Uint8Array(Uint32Array.from(places).buffer));
        return 0;
      }),
    regex_release: (regex) => void (regexes[regex] = undefined),
    normal_form: (form, at, n) => tell(encoder.encode(read(at, n).normalize(FORMS[form]))),
  };
}
