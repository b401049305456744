// A loaded model.
import { assert } from './errors.js';
import { describe, fromDevice, toDevice } from './tensor.js';
import { Language } from './language.js';

export class Model {
  #wasm;
  #program;
  #assets;
  #language;
  #queue = Promise.resolve();
  #disposed = false;

  constructor(wasm, program, meta, assets, explanation) {
    this.#wasm = wasm;
    this.#program = program;
    this.#assets = assets;
    this.meta = Object.freeze(meta);
    this.target = program.list.target;
    this.rejected = explanation;
    const { entries, states } = program.list;
    this.entryPoints = Object.freeze(entries.map((e) => e.name));
    this.inputs = Object.freeze(entries[0].inputs.map(describe));
    this.outputs = Object.freeze(entries[0].outputs.map(describe));
    this.states = Object.freeze(states.map(describe));
    this.isLanguageModel = Language.fits(program.list);
  }

  /** The GPU device that the model lives on. */
  get device() {
    return this.#program.device;
  }

  /** Runs one thing after the other, in the order of the calls. */
  #queued(work) {
    const run = this.#queue.then(() => {
      assert(!this.#disposed, 'disposed', 'the model was disposed of');
      this.#program.check();
      return work();
    });
    this.#queue = run.catch(() => {});
    return run;
  }

  #entry(name) {
    const { entries } = this.#program.list;
    const entry = name === undefined ? entries[0] : entries.find((e) => e.name === name);
    const known = this.entryPoints.join(', ');
    assert(entry, 'input', `no entry point "${name}"; there are: ${known}`);
    return entry;
  }

  async run(inputs = {}, { entryPoint } = {}) {
    const entry = this.#entry(entryPoint);
    // copied now: the caller may go on with his arrays
    const bytes = this.#convert(entry, inputs).map((b) => b.slice());
    return this.#queued(() => this.#run(entry, bytes));
  }

  #convert(entry, inputs) {
    const names = entry.inputs.map((io) => io.name);
    for (const name of Object.keys(inputs)) {
      assert(names.includes(name), 'input', `no input "${name}"; there are: ${names.join(', ')}`);
    }
    return entry.inputs.map((io) => {
      assert(inputs[io.name] !== undefined, 'input', `input "${io.name}" is not given`);
      return toDevice(this.#wasm, io, inputs[io.name]);
    });
  }

  async #run(entry, bytes) {
    const program = this.#program;
    entry.inputs.forEach((io, i) => {
      if (bytes[i].byteLength > 0) program.write(io.object, io.offset, bytes[i]);
    });
    const staging = await program.submit(entry, 1, entry.outputs);
    const out = {};
    if (!staging) return out;
    const mapped = staging.getMappedRange();
    let at = 0;
    for (const io of entry.outputs) {
      out[io.name] = fromDevice(this.#wasm, io, new Uint8Array(mapped, at, io.bytes));
      at += Math.ceil(io.bytes / 8) * 8;
    }
    staging.destroy();
    return out;
  }

  /** Zero-fills what the model keeps between runs. */
  resetState() {
    return this.#queued(() => {
      this.#program.resetStates();
      this.#language?.reset();
    });
  }

  asset(name) {
    return this.#assets.get(name)?.slice();
  }

  async #text() {
    assert(
      this.isLanguageModel,
      'input',
      'generate is for language models; this one has the entry points ' + this.entryPoints.join(', '),
    );
    this.#language ??= await Language.open(this.#wasm, this.#program, this.#assets);
    return this.#language;
  }

  async *generate(prompt, options = {}) {
    // the queue is held until the last token: two texts at once would share one cache
    let leave;
    const left = new Promise((resolve) => (leave = resolve));
    try {
      const language = await new Promise((enter, refuse) => {
        this.#queued(async () => {
          enter(await this.#text());
          await left;
        }).catch(refuse);
      });
      yield* language.generate(prompt, options);
    } finally {
      leave();
    }
  }

  async encode(text, { special = true } = {}) {
    const language = await this.#text();
    return language.encode(text, special);
  }

  async decode(ids, { special = false } = {}) {
    const language = await this.#text();
    return language.decode(ids, special);
  }

  /** Number of tokens that fit into the caches; of language models. */
  get context() {
    return this.isLanguageModel ? Language.context(this.#program.list) : undefined;
  }

  dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#queue.then(() => {
      this.#program.destroy();
      this.#language?.close();
    });
  }
}
