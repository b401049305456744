// Drift in the browser: loads .drift bundles and runs them on WebGPU. Types and documentation of
// everything that is exported are in drift.d.ts.
import { clearCache } from './cache.js';
import { defaultDevice } from './device.js';
import { DriftError } from './errors.js';
import { prepare } from './load.js';
import { Model } from './model.js';

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
  const { wasm, program, meta, assets, rejected } = await prepare(from, options);
  return new Model(wasm, program, meta, assets, rejected);
}

export default { load, isSupported, clearCache, DriftError };
