// The GPU device: asked for once, with all that the adapter has to offer.
import { DriftError, wrapped } from './errors.js';

const FEATURES = ['shader-f16', 'subgroups'];
const LIMITS = [
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxStorageBuffersPerShaderStage',
  'maxTextureDimension2D',
  'maxTextureDimension3D',
  'maxTextureArrayLayers',
];

/** Says why there is no WebGPU, as far as can be known. */
function missing() {
  if (!globalThis.isSecureContext) {
    return 'WebGPU needs a secure page: serve it over https, or from localhost';
  }
  return 'this browser has no WebGPU; Chrome and Edge 113, Safari 26 and Firefox 141 have it';
}

let shared;

/** The page's device; a new one after it was lost. */
export function defaultDevice() {
  shared ??= request().then(
    (device) => {
      device.lost.then(() => (shared = undefined));
      return device;
    },
    (error) => {
      shared = undefined;
      throw error;
    },
  );
  return shared;
}

async function request() {
  if (!globalThis.navigator?.gpu) throw new DriftError('no-webgpu', missing());
  let adapter;
  try {
    adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  } catch (error) {
    throw wrapped(error, 'no-webgpu', 'no GPU adapter');
  }
  if (!adapter) {
    throw new DriftError(
      'no-webgpu',
      'the browser has WebGPU, but offers no GPU adapter: its driver may be blocked or absent',
    );
  }
  try {
    return await adapter.requestDevice({
      label: 'drift',
      requiredFeatures: FEATURES.filter((f) => adapter.features.has(f)),
      requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
    });
  } catch (error) {
    throw wrapped(error, 'no-webgpu', 'the GPU adapter gives no device');
  }
}

/** What `caps.rs` reads: numbers in its order, and a name. */
export function describe(device) {
  const { features, limits } = device;
  const info = device.adapterInfo ?? {};
  const words = globalThis.navigator?.gpu?.wgslLanguageFeatures;
  const flags =
    (features.has('shader-f16') ? 1 : 0) |
    (features.has('subgroups') ? 2 : 0) |
    (words?.has('packed_4x8_integer_dot_product') ? 4 : 0);
  const has = features.has('subgroups');
  // WGSL guarantees 4 to 128 where the adapter does not tell
  const [least, most] = has ? [info.subgroupMinSize ?? 4, info.subgroupMaxSize ?? 128] : [0, 0];
  const numbers = [
    flags,
    limits.maxComputeWorkgroupStorageSize,
    limits.maxComputeInvocationsPerWorkgroup,
    limits.maxComputeWorkgroupSizeX,
    limits.maxComputeWorkgroupSizeY,
    limits.maxComputeWorkgroupSizeZ,
    limits.maxComputeWorkgroupsPerDimension,
    limits.maxStorageBufferBindingSize,
    limits.maxBufferSize,
    limits.maxStorageBuffersPerShaderStage,
    limits.maxSampledTexturesPerShaderStage + limits.maxStorageTexturesPerShaderStage,
    limits.maxTextureDimension2D,
    limits.maxTextureDimension3D,
    limits.maxTextureArrayLayers,
    most * 65536 + least,
  ];
  const name = info.description || [info.vendor, info.architecture].filter(Boolean).join(' ');
  return { numbers: new BigUint64Array(numbers.map(BigInt)), name: name || 'WebGPU device' };
}
