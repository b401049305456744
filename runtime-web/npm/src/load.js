// A bundle brought onto the device: what `load` does before there is a model.
import { BundleReader } from './bundle.js';
import { openCache } from './cache.js';
import { defaultDevice, describe } from './device.js';
import { Program } from './program.js';
import { sourceOf } from './source.js';
import { runtime } from './wasm.js';

/** Reads a bundle, chooses a variant and makes its program. */
export async function prepare(from, options) {
  const { onProgress, signal, device: given } = options;
  const report = (event) => {
    signal?.throwIfAborted();
    onProgress?.(event);
  };
  signal?.throwIfAborted();
  // asked first: without a GPU nothing needs to be downloaded
  const [wasm, device] = await Promise.all([runtime(), given ?? defaultDevice()]);
  const source = sourceOf(from, options);
  const cache = source.url ? await openCache(options.cache) : undefined;
  const bundle = new BundleReader(wasm, source, cache, report);
  let program;
  try {
    await bundle.open();
    const { best, rejected } = bundle.choose(describe(device));
    const { program: list, shaders } = await bundle.variant(best);
    const assets = await bundle.assets();
    program = new Program(device, list);
    await program.createObjects();
    // kernels compile while the weights come
    const pipelines = program.createPipelines(shaders, report);
    pipelines.catch(() => {});
    await bundle.weights(program.uploader());
    await pipelines;
    report({ stage: 'ready', loaded: bundle.total, total: bundle.total });
    return { wasm, program, meta: bundle.meta, assets, rejected };
  } catch (error) {
    program?.destroy();
    throw error;
  } finally {
    bundle.close();
  }
}
