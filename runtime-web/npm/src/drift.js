// Drift in the browser: loads .drift bundles and runs them on WebGPU. Types and documentation of
// everything that is exported are in drift.d.ts.
import { BundleReader } from './bundle.js';
import { clearCache, openCache } from './cache.js';
import { defaultDevice, describe } from './device.js';
import { DriftError } from './errors.js';
import { Model } from './model.js';
import { Program } from './program.js';
import { sourceOf } from './source.js';
import { runtime } from './wasm.js';

export { clearCache, DriftError };

/** Whether this page can run models at all; `load` says in detail why not. */
export async function isSupported() {
  try {
    await defaultDevice();
    return true;
  } catch {
    return false;
  }
}

export async function load(from, options = {}) {
  try {
    return await attempt(from, options);
  } catch (error) {
    // what was kept was damaged: it has been thrown away, so this time everything is downloaded
    if (error.fromCache && error.code === 'damaged') return attempt(from, options);
    throw error;
  }
}

async function attempt(from, options) {
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
    return new Model(wasm, program, bundle.meta, assets, rejected);
  } catch (error) {
    program?.destroy();
    throw error;
  } finally {
    bundle.close();
  }
}

export default { load, isSupported, clearCache, DriftError };
