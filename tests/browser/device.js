// The runtime for browsers as a device of the conformance tests: a command comes with every exchange,
// the answer goes with the next. Both are a JSON text behind its length (u32), then bytes.
//
// | command | answer |
// |---|---|
// | `load` and a bundle | the program's number |
// | `write` object, offset, and bytes | |
// | `submit` entry point, times, ranges | the ranges, behind each other |
// | `reset` | |
// | `drop` | |
// | `tokenize` texts, and a tokenizer.json | ids of each text, and the text of these ids |
import { defaultDevice, describe } from '/drift/device.js';
import { prepare } from '/drift/load.js';
import { Tokenizer } from '/drift/tokenizer.js';

const programs = new Map();
let last = 0;
/** What the browser's validation says of no call in particular. */
const uncaptured = [];

function packed(head, bytes = new Uint8Array(0)) {
  const text = new TextEncoder().encode(JSON.stringify(head));
  const all = new Uint8Array(4 + text.length + bytes.length);
  new DataView(all.buffer).setUint32(0, text.length, true);
  all.set(text, 4);
  all.set(bytes, 4 + text.length);
  return all;
}

function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { head, bytes: new Uint8Array(buffer, 4 + length) };
}

/** NaN in what a plan has to write before it reads it. */
function poison(program) {
  program.list.objects.forEach((o, i) => {
    if (o.role !== 'arena' || o.bytes === undefined) return;
    const words = new Uint8Array(Math.min(program.objects[i].size, 1 << 20)).fill(0xff);
    for (let at = 0; at < program.objects[i].size; at += words.length) {
      const size = Math.min(words.length, program.objects[i].size - at);
      program.device.queue.writeBuffer(program.objects[i], at, words, 0, size);
    }
  });
}

const commands = {
  async load(_, bytes) {
    const { program } = await prepare(bytes, { cache: false });
    poison(program);
    programs.set(++last, program);
    return packed({ program: last, target: program.list.target });
  },

  async write({ program, object, offset }, bytes) {
    programs.get(program).write(object, offset, bytes);
    return packed({});
  },

  async submit({ program: number, entry, times, ranges }) {
    const program = programs.get(number);
    const staging = await program.submit(program.list.entries[entry], times, ranges);
    if (!staging) return packed({});
    const answer = packed({}, new Uint8Array(staging.getMappedRange()));
    staging.destroy();
    return answer;
  },

  async reset({ program }) {
    programs.get(program).resetStates();
    return packed({});
  },

  async tokenize({ texts }, json) {
    const tokenizer = await Tokenizer.open(json);
    const all = texts.map((text) => {
      const ids = Array.from(tokenizer.encode(text, true));
      return [ids, tokenizer.decode(ids, false)];
    });
    tokenizer.close();
    return packed({ all });
  },

  async drop({ program }) {
    programs.get(program).destroy();
    programs.delete(program);
    return packed({});
  },
};

async function begin() {
  const device = await defaultDevice();
  device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));
  const { numbers, name } = describe(device);
  const version = navigator.userAgent.match(/Chrom\w+\/[\d.]+/)?.[0] ?? navigator.userAgent;
  return packed({ numbers: Array.from(numbers, Number), name, version });
}

async function answer(buffer) {
  const { head, bytes } = unpacked(buffer);
  const done = await commands[head.command](head, bytes);
  if (uncaptured.length > 0) throw new Error(uncaptured.splice(0).join('\n'));
  return done;
}

async function caught(work) {
  try {
    return await work();
  } catch (error) {
    return packed({ error: { code: error.code ?? error.name, message: error.message } });
  }
}

let said = await caught(begin);
for (;;) {
  const response = await fetch('/exchange', { method: 'POST', body: said });
  if (!response.ok) break;
  const command = await response.arrayBuffer();
  said = await caught(() => answer(command));
}
