/**
 * Drift in the browser: loads `.drift` bundles, which `driftc` compiled ahead of time, and runs them
 * on WebGPU.
 *
 * ```js
 * import { load } from 'drift-web';
 *
 * const model = await load('digits.drift', { onProgress: (p) => console.log(p.loaded / p.total) });
 * const { logits } = await model.run({ image: new Float32Array(784) });
 * model.dispose();
 * ```
 */

/** Element types as a model has them. */
export type ElementType =
  | 'float32' | 'float16' | 'bfloat16' | 'float64'
  | 'int8' | 'uint8' | 'int16' | 'uint16' | 'int32' | 'uint32' | 'int64' | 'uint64'
  | 'bool';

export type TypedArray =
  | Float32Array | Float64Array
  | Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array | Int32Array | Uint32Array
  | BigInt64Array | BigUint64Array;

/**
 * What an input takes: elements in row-major order, as many as its shape says. Floats may come in any
 * float type and integers in any integer type; a value that does not fit the model's type is an error.
 * Arrays may be nested.
 */
export type TensorInput = TypedArray | NestedArray;
export type NestedArray = ReadonlyArray<number | bigint | boolean | NestedArray>;

/**
 * What an output gives, row-major: the typed array of its element type; `Float32Array` for float16 and
 * bfloat16, `Uint8Array` (0 or 1) for bool.
 */
export type TensorOutput = Exclude<TypedArray, Uint8ClampedArray>;

export interface TensorInfo {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
}

export interface Progress {
  /** `download` counts bytes (those from the cache, too), `compile` kernels, `ready` comes last. */
  stage: 'download' | 'compile' | 'ready';
  loaded: number;
  total: number;
}

export interface LoadOptions {
  /** Called often; both downloads and compilation run at the same time. */
  onProgress?: (progress: Progress) => void;
  /** Ends loading with the signal's reason. */
  signal?: AbortSignal;
  /** A device of yours instead of the page's shared one; its limits decide which variant fits. */
  device?: GPUDevice;
  /** Keep downloaded parts in Cache Storage and take them from there. Default: true. */
  cache?: boolean;
  /** Further options of `fetch`: credentials, mode, headers. */
  fetchOptions?: RequestInit;
}

/**
 * Loads a bundle and makes it ready to run.
 *
 * From a URL, only the sections that the chosen variant needs are downloaded, in ranges where the
 * server has them; weights go from the stream to the GPU and are never in memory as a whole.
 * Everything is checked against the bundle's hashes. An interrupted download goes on where it stopped,
 * and a bundle that was loaded before is taken from Cache Storage (one small request asks whether it
 * has changed; without a network it is taken as it was).
 */
export function load(from: string | URL | Blob | BufferSource, options?: LoadOptions): Promise<Model>;

/** Whether the page has a WebGPU device; `load` says in detail why not. */
export function isSupported(): Promise<boolean>;

/** Forgets all downloaded parts. */
export function clearCache(): Promise<void>;

export interface RunOptions {
  /** One of `model.entryPoints`; the first by default. */
  entryPoint?: string;
}

export interface Model {
  /** Of the first entry point. */
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly entryPoints: readonly string[];
  /** What the model keeps between runs. */
  readonly states: readonly TensorInfo[];
  /** Facts that the compiler noted: `model`, `precision`, `producer`, and others. */
  readonly meta: Readonly<Record<string, string>>;
  /** Target of the variant that was chosen, and why others were not. */
  readonly target: string;
  readonly rejected: readonly RejectedVariant[];
  readonly device: GPUDevice;
  readonly isLanguageModel: boolean;
  /** Language models: tokens that the caches hold. */
  readonly context: number | undefined;

  /**
   * Runs once: all inputs in, all outputs out, by name. May be called again before it is done; runs
   * follow each other in the order of the calls. The arrays given may be changed after the call.
   */
  run(inputs?: Record<string, TensorInput>, options?: RunOptions): Promise<Record<string, TensorOutput>>;

  /** Makes all states zero, as after loading. */
  resetState(): Promise<void>;

  /**
   * Language models: goes on from a text, from the messages of a conversation (in the model's own chat
   * format), or from token ids, and gives pieces of text as they come. Leaving the loop stops it.
   * What the model has read already (earlier turns) is not read again.
   */
  generate(
    prompt: string | readonly Message[] | readonly number[],
    options?: GenerateOptions,
  ): AsyncGenerator<string, void, undefined>;

  /** Language models: token ids of a text; `special` (default true) adds those that begin a text. */
  encode(text: string, options?: { special?: boolean }): Promise<Uint32Array>;
  /** Language models: text of token ids; `special` (default false) shows special tokens. */
  decode(ids: ArrayLike<number>, options?: { special?: boolean }): Promise<string>;

  /** Bytes that travel with the bundle (`tokenizer.json`, labels); `undefined` if there are none. */
  asset(name: string): Uint8Array | undefined;

  /** Gives the GPU memory back once what was started is done. */
  dispose(): void;
}

export interface RejectedVariant {
  variant: number;
  target: string;
  /** Requirements that the device does not meet. */
  unmet: string[];
}

export interface Message {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/** What is not given is as the model's authors recommend; greedy where they do not. */
export interface GenerateOptions {
  /** Most tokens; the room left in the context by default. */
  maxTokens?: number;
  /** 0 takes the most likely token. */
  temperature?: number;
  /** Keeps the k most likely tokens; 0 = all. */
  topK?: number;
  /** Keeps the most likely tokens that make up this share. */
  topP?: number;
  /** Drops tokens less likely than this share of the most likely one. */
  minP?: number;
  /** 1 = off. */
  repetitionPenalty?: number;
  /** Tokens that the penalty looks back; 0 = all. */
  penaltyWindow?: number;
  /** The same seed gives the same text. */
  seed?: number;
  /** Ids that end the text, instead of the model's own. */
  stopTokens?: Iterable<number>;
  signal?: AbortSignal;
  /** Called with each token id, before its text is given. */
  onToken?: (id: number) => void;
}

export type ErrorCode =
  /** No WebGPU, no adapter, or an insecure page; the message says which. */
  | 'no-webgpu'
  /** The device satisfies no variant of the bundle; `rejected` and the message say why. */
  | 'no-variant'
  /** The server or the connection. */
  | 'network'
  /** The file on the server became another one while it was loaded. */
  | 'changed'
  /** Not a `.drift` bundle. */
  | 'not-a-bundle'
  /** The file ends before its contents do. */
  | 'truncated'
  /** A checksum does not match. */
  | 'damaged'
  /** The bundle contradicts itself. */
  | 'malformed'
  /** Made by a newer or much older `driftc`. */
  | 'unsupported-bundle'
  /** An input, option or prompt that does not fit; the message names it. */
  | 'input'
  /** More tokens than the context holds. */
  | 'context-full'
  | 'out-of-memory'
  /** The GPU was taken away; load the model again. */
  | 'device-lost'
  | 'disposed'
  /** The browser's GPU process refused something. */
  | 'gpu'
  /** A mistake in Drift: please report it. */
  | 'internal';

export class DriftError extends Error {
  readonly code: ErrorCode;
  /** With `no-variant`. */
  readonly rejected?: readonly RejectedVariant[];
}

declare const drift: {
  load: typeof load;
  isSupported: typeof isSupported;
  clearCache: typeof clearCache;
  DriftError: typeof DriftError;
};
export default drift;
