// Text generation over the states of a language model's bundle: prompts in pieces, decode steps in
// flight, the caches kept from turn to turn. The states are described in the runtime's crate,
// `drift_runtime::generate`, whose rules these are.
import { assert } from './errors.js';
import { chatText } from './chat.js';
import { Tokenizer } from './tokenizer.js';

/** Submits of decode steps that are started before the first of them is read. */
const SUBMITS = 3;
/** Tokens are read about this often (ms): several steps share a submit where they are quicker. */
const READ_EVERY = 8;
/** Most steps of one submit. */
const MOST_STEPS = 16;

const parse = (bytes) => bytes && JSON.parse(new TextDecoder().decode(bytes));

export class Language {
  #program;
  #tokens = [];
  /** Leading tokens that the caches hold: all, or all but the last. */
  #cached = 0;
  /** Positions ever cached since the sequence was empty: what rings have overwritten. */
  #reach = 0;
  #announced = 0;
  #seed = 0;
  /** Submits of the prompt. */
  #pieces = [];
  #stepTime = READ_EVERY;

  static fits(list) {
    const has = (name) => list.states.some((s) => s.name === name);
    const names = ['tokens', 'logits', 'params', 'sampling'];
    return list.entries.some((e) => e.name === 'decode') && names.every(has);
  }

  static context(list) {
    return list.states.find((s) => s.name === 'tokens').shape[0] - 1;
  }

  static async open(wasm, program, assets) {
    const json = assets.get('tokenizer.json');
    const tokenizer = json && (await Tokenizer.open(json));
    return new Language(program, tokenizer, parse(assets.get('chat.json')) ?? {});
  }

  constructor(program, tokenizer, facts) {
    this.#program = program;
    this.tokenizer = tokenizer;
    this.facts = facts;
    const { entries, states } = program.list;
    this.states = new Map(states.map((s) => [s.name, s]));
    this.context = Language.context(program.list);
    this.vocabulary = this.states.get('logits').shape[1];
    const hidden = this.states.get('hidden')?.shape[0];
    const rows = ({ name }) => {
      if (name === 'decode') return 1;
      if (name === 'prefill') return hidden;
      return name.startsWith('prefill_') ? Number(name.slice(8)) : undefined;
    };
    this.steps = entries
      .map((entry) => ({ entry, rows: rows(entry) }))
      .filter((s) => s.rows > 0)
      .sort((a, b) => a.rows - b.rows);
    this.chunk = this.steps.at(-1).rows;
    const slots = states.filter((s) => /^(k|v|ks|vs)\.\d+$/.test(s.name)).map((s) => s.shape[1]);
    this.ring = Math.min(...slots.filter((n) => n < this.context));
  }

  #needTokenizer() {
    assert(this.tokenizer, 'input', 'the bundle has no tokenizer: it takes token ids, not text');
    return this.tokenizer;
  }

  encode(text, special) {
    return this.#needTokenizer().encode(text, special);
  }

  decode(ids, special) {
    return this.#needTokenizer().decode(ids, special);
  }

  /** Ids of a prompt: a text, messages of a conversation, or ids as they are. */
  #ids(prompt) {
    const { tokens: known = {} } = this.facts;
    if (typeof prompt === 'string') {
      const ids = Array.from(this.encode(prompt, true));
      if (ids.length === 0 && known.bos != null) ids.push(known.bos);
      return ids;
    }
    if (prompt?.[0]?.role === undefined) return Array.from(prompt ?? [], Number);
    const text = chatText(this.facts.chat, prompt);
    // formats spell special tokens out, all but the one that every text begins with
    const ids = Array.from(this.encode(text, false));
    let begin = Array.from(this.tokenizer.prefix());
    if (begin.length === 0 && known.add_bos && known.bos != null) begin = [known.bos];
    return begin.every((id, i) => ids[i] === id) ? ids : [...begin, ...ids];
  }

  async *generate(prompt, options) {
    const { maxTokens = Infinity, signal, onToken } = options;
    this.#setSampling(options);
    const ids = this.#ids(prompt);
    assert(ids.length > 0, 'input', 'the prompt is empty, and the model has no token to begin with');
    this.#goTo(ids);
    const room = this.context + 1 - ids.length;
    const stop = new Set(options.stopTokens ?? this.facts.tokens?.stop ?? []);
    const stream = this.tokenizer?.stream(ids);
    try {
      for await (const id of this.#tokensFrom(Math.min(maxTokens, room), signal)) {
        if (stop.has(id)) break;
        onToken?.(id);
        const text = stream ? stream.push(id) : String(id);
        if (text) yield text;
      }
      const rest = stream?.finish();
      if (rest) yield rest;
    } finally {
      stream?.close();
    }
  }

  /** Forgets the sequence. */
  reset() {
    this.#tokens = [];
    this.#cached = this.#reach = this.#announced = 0;
  }

  /** Makes the sequence these ids; what the caches hold of them already is kept. */
  #goTo(ids) {
    assert(
      ids.length <= this.context,
      'context-full',
      `${ids.length} tokens do not fit into the context of ${this.context}; shorten the text, or ` +
        'compile the model with a larger --context',
    );
    const wrong = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < this.vocabulary));
    assert(wrong === undefined, 'input', `token id ${wrong} is not below ${this.vocabulary}`);
    let same = 0;
    while (same < ids.length && ids[same] === this.#tokens[same]) same++;
    // the last token always goes in again: what follows it is chosen then
    same = Math.min(same, ids.length - 1, this.#cached);
    const angles = this.facts.model?.rope_switch;
    const turned = angles && this.#announced <= angles && ids.length > angles;
    if (turned || !this.#holds(same)) same = 0;
    if (same === 0) this.reset();
    this.#tokens = ids.slice();
    this.#cached = same;
    this.#announced = Math.max(this.#announced, ids.length);
    while (this.#cached < ids.length) this.#piece();
  }

  /** Whether rings still hold what a sequence of this length sees. */
  #holds(length) {
    if (this.ring === Infinity || length === 0) return true;
    return this.#reach <= this.ring || this.#reach - length <= this.chunk;
  }

  /** Runs the entry point for the next tokens that are not cached. */
  #piece() {
    const left = this.#tokens.length - this.#cached;
    const { rows, entry } = this.steps.find((s) => s.rows >= left) ?? this.steps.at(-1);
    const end = Math.min(this.#tokens.length, this.#cached + rows);
    const ids = Int32Array.from(this.#tokens.slice(this.#cached, end));
    this.#write('tokens', 4 * this.#cached, ids);
    this.#setParams(this.#cached, end - this.#cached);
    this.#reach = Math.max(this.#reach, end);
    this.#pieces.push(this.#submit(entry, 1));
    this.#pieces.at(-1).catch(() => {}); // looked at before the first token
    this.#cached = end;
  }

  /** The next tokens, up to `most`, as the device chooses them; later steps run meanwhile. */
  async *#tokensFrom(most, signal) {
    const decode = this.steps[0].entry;
    const first = this.#cached;
    const flying = [];
    // the prompt's last piece has chosen the first one
    flying.push({ steps: 0, read: this.#submit(decode, 0, 4 * first, 4) });
    this.#setParams(first, 1);
    let started = 0;
    let given = 0;
    let last = performance.now();
    try {
      await Promise.all(this.#pieces.splice(0));
      while (given < most) {
        signal?.throwIfAborted();
        while (flying.length < SUBMITS && started < most - 1) {
          const steps = Math.min(this.#batch(), most - 1 - started);
          const offset = 4 * (first + started + 1);
          started += steps;
          this.#reach = Math.max(this.#reach, first + started);
          flying.push({ steps, read: this.#submit(decode, steps, offset, 4 * steps) });
        }
        const next = flying.shift();
        if (!next) return;
        const ids = await next.read;
        const now = performance.now();
        if (next.steps > 0) this.#stepTime = (now - last) / next.steps;
        last = now;
        for (const id of ids) {
          this.#tokens.push(id);
          this.#cached = this.#tokens.length - 1;
                given++;
          yield id;
        }
      }
    } finally {
      // nobody waits for what is still on its way
      flying.forEach(({ read }) => read.catch(() => {}));
    }
  }

  #batch() {
    const quick = Math.floor(READ_EVERY / Math.max(this.#stepTime, 1e-3));
    const most = this.ring === Infinity ? MOST_STEPS : Math.min(MOST_STEPS, this.chunk / SUBMITS);
    return Math.max(1, Math.min(quick, Math.floor(most)));
  }

  /** Submits, and gives these words of `tokens` as a promise. */
  async #submit(entry, times, offset, bytes) {
    const { object, offset: base } = this.states.get('tokens');
    const ranges = bytes ? [{ object, offset: base + offset, bytes }] : [];
    const staging = await this.#program.submit(entry, times, ranges);
    if (!staging) return undefined;
    const ids = Array.from(new Int32Array(staging.getMappedRange(), 0, bytes / 4));
    staging.destroy();
    return ids;
  }

  #write(name, offset, array) {
    const state = this.states.get(name);
    this.#program.write(state.object, state.offset + offset, new Uint8Array(array.buffer));
  }

  #setParams(position, rows) {
    this.#write('params', 0, Uint32Array.of(position, rows, 0, this.#seed, this.#announced));
  }

  #setSampling(options) {
    const set = { ...defaults(this.facts.generation), ...options };
    // a way of drawing without a temperature means to draw
    const draws = ['topK', 'topP', 'minP'].some((name) => options[name] !== undefined);
    if (draws && options.temperature === undefined && set.temperature === 0) set.temperature = 1;
    const { temperature, topK, topP, minP, repetitionPenalty, penaltyWindow } = set;
    for (const [what, value, fits, range] of [
      ['temperature', temperature, temperature >= 0, '0 or more'],
      ['topK', topK, topK >= 0, '0 or more'],
      ['topP', topP, topP > 0 && topP <= 1, 'more than 0 and at most 1'],
      ['minP', minP, minP >= 0 && minP <= 1, '0 to 1'],
      ['repetitionPenalty', repetitionPenalty, repetitionPenalty > 0, 'more than 0'],
    ]) {
      assert(fits && Number.isFinite(value), 'input', `${what}: ${value} is not ${range}`);
    }
    this.#seed = (set.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]) >>> 0;
    const words = [temperature, topK, topP, repetitionPenalty, minP, penaltyWindow, 0, 0];
    this.#write('sampling', 0, Float32Array.from(words));
  }

  close() {
    this.tokenizer?.close();
  }
}

/** How the model's authors sample; greedy where they do not say. */
function defaults(generation) {
  const g = generation ?? {};
  return {
    temperature: g.temperature ?? 0,
    topK: g.top_k ?? 0,
    topP: g.top_p ?? 1,
    minP: g.min_p ?? 0,
    repetitionPenalty: g.repetition_penalty ?? 1,
    penaltyWindow: 0,
  };
}
