// A variant on a device: objects, pipelines, and replays of the plan's lists.
import { DriftError, assert, wrapped } from './errors.js';

/** Weights that may wait for the GPU process before we wait for it. */
const UPLOAD_AHEAD = 64 << 20;

const ACCESS = ['read-only-storage', 'storage'];

/**
 * Kernels branch on bounds that are whole subgroups, or whole groups of the lanes that shuffle among
 * themselves. The compiler knows that; the browser cannot, and would refuse them.
 */
const SUBGROUPS = 'diagnostic(off, subgroup_uniformity);\n';

const decoder = new TextDecoder();

export class Program {
  #bindGroups = new Map();
  #lost;
  #checked = new Set();

  constructor(device, list) {
    this.device = device;
    this.list = list;
    this.objects = [];
    device.lost.then((info) => (this.#lost ??= info));
  }

  /** An error if the device is gone. */
  check() {
    if (!this.#lost) return;
    const { reason, message } = this.#lost;
    throw new DriftError('device-lost', `the GPU device was lost (${reason || 'unknown'}): ${message}`);
  }

  /** What an operation that failed means: a lost device explains most. */
  async failure(error, what) {
    await Promise.race([this.device.lost, new Promise((r) => setTimeout(r, 0))]);
    try {
      this.check();
    } catch (lost) {
      return lost;
    }
    return wrapped(error, 'gpu', what);
  }

  /** Runs `make`; what the device says of it becomes an error. */
  async #scoped(what, make) {
    const { device } = this;
    const filters = ['out-of-memory', 'internal', 'validation'];
    filters.forEach((filter) => device.pushErrorScope(filter));
    let made, scopes;
    try {
      made = make();
    } finally {
      scopes = filters.map(() => device.popErrorScope());
    }
    const [validation, internal, memory] = await Promise.all(scopes);
    if (memory) throw new DriftError('out-of-memory', `no GPU memory for ${what}: ${memory.message}`);
    const error = validation ?? internal;
    if (error) throw new DriftError('gpu', `${what}: ${error.message}`);
    return made;
  }

  /** Makes buffers and textures; their contents are zero. */
  async createObjects() {
    const bytes = this.list.objects.reduce((sum, o) => sum + (o.bytes ?? 0), 0);
    await this.#scoped(`${(bytes / 2 ** 20).toFixed(1)} MiB of buffers`, () => {
      for (const o of this.list.objects) this.objects.push(this.#object(o));
    });
  }

  #object(o) {
    if (o.bytes !== undefined) {
      const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
      const size = Math.ceil(o.bytes / 4) * 4;
      return this.device.createBuffer({ label: o.role, size, usage: STORAGE | COPY_SRC | COPY_DST });
    }
    const { TEXTURE_BINDING, STORAGE_BINDING, COPY_DST } = GPUTextureUsage;
    const weights = o.role === 'weights';
    return this.device.createTexture({
      label: o.role,
      size: o.extent,
      dimension: o.dimension === '3d' ? '3d' : '2d',
      format: o.format,
      usage: TEXTURE_BINDING | (weights ? COPY_DST : STORAGE_BINDING),
    });
  }

  /** Compiles all pipelines at once, off the main thread. */
  async createPipelines(shaders, report) {
    const { device, list } = this;
    const enable = list.enable.map((e) => `enable ${e};\n`).join('');
    const prelude = enable + (list.enable.includes('subgroups') ? SUBGROUPS : '');
    const modules = list.shaders.map(([start, end]) =>
      device.createShaderModule({ code: prelude + decoder.decode(shaders.subarray(start, end)) }),
    );
    const shown = this.#sampleBindings();
    let done = 0;
    const total = list.pipelines.length;
    const made = list.pipelines.map(async (p, index) => {
      const entries = p.bindings.map((kind, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        ...this.#bindingLayout(kind, shown[index]?.[binding]),
      }));
      const layout = device.createBindGroupLayout({ entries });
      try {
        const pipeline = await device.createComputePipelineAsync({
          layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
          compute: { module: modules[p.shader], entryPoint: p.entry },
        });
        report({ stage: 'compile', loaded: ++done, total });
        return { pipeline, layout };
      } catch (error) {
        const info = await modules[p.shader].getCompilationInfo();
        const first = info.messages.find((m) => m.type === 'error');
        const where = first ? ` (line ${first.lineNum}: ${first.message})` : '';
        throw await this.failure(error, `pipeline ${index} does not compile${where}`);
      }
    });
    this.pipelines = await Promise.all(made);
  }

  /** Objects that the first dispatch of each pipeline binds: formats of images are theirs. */
  #sampleBindings() {
    const shown = [];
    for (const { steps } of this.list.entries) {
      for (const { dispatch } of steps) {
        if (!dispatch || shown[dispatch[0]]) continue;
        shown[dispatch[0]] = dispatch
          .slice(5)
          .filter((_, i) => i % 3 === 0)
          .map((object) => this.list.objects[object]);
      }
    }
    return shown;
  }

  #bindingLayout(kind, object) {
    if (kind < 2) return { buffer: { type: ACCESS[kind] } };
    const viewDimension = object?.dimension ?? '2d';
    if (kind === 2) return { texture: { sampleType: 'unfilterable-float', viewDimension } };
    return { storageTexture: { access: 'write-only', format: object?.format, viewDimension } };
  }

  /** Takes the weights in order, as they come: `(offset, bytes)`. */
  uploader() {
    const { device, list, objects } = this;
    const { uploads } = list;
    for (const u of uploads) assert(u[2] % 4 === 0, 'internal', 'weights at an odd place');
    const images = new Map();
    // writes are of whole words: up to three bytes wait for the rest of theirs
    let rest = new Uint8Array(0);
    let ahead = 0;
    let first = 0;
    return async (offset, chunk) => {
      this.check();
      let data = chunk;
      let at = offset - rest.byteLength;
      if (rest.byteLength > 0) {
        data = new Uint8Array(rest.byteLength + chunk.byteLength);
        data.set(rest);
        data.set(chunk, rest.byteLength);
      }
      const whole = data.byteLength - (data.byteLength % 4);
      rest = data.slice(whole);
      const end = at + whole;
      while (first < uploads.length && uploads[first][2] + uploads[first][3] <= at) first++;
      for (let i = first; i < uploads.length && uploads[i][2] < end; i++) {
        const [object, to, from, bytes] = uploads[i];
        const start = Math.max(from, at);
        const stop = Math.min(from + bytes, end);
        if (start >= stop) continue;
        if (list.objects[object].bytes === undefined) {
          let image = images.get(i);
          if (!image) images.set(i, (image = new Uint8Array(bytes)));
          image.set(data.subarray(start - at, stop - at), start - from);
          if (stop === from + bytes) {
            this.#writeImage(object, image);
            images.delete(i);
          }
          continue;
        }
        device.queue.writeBuffer(objects[object], to + start - from, data, start - at, stop - start);
      }
      ahead += whole;
      if (ahead >= UPLOAD_AHEAD) {
        ahead = 0;
        await device.queue.onSubmittedWorkDone();
      }
    };
  }

  #writeImage(object, bytes) {
    const { extent, texel } = this.list.objects[object];
    const [width, height] = extent;
    const layout = { bytesPerRow: width * texel, rowsPerImage: height };
    this.device.queue.writeTexture({ texture: this.objects[object] }, bytes, layout, extent);
  }

  #bindGroup(dispatch) {
    const key = `${dispatch[0]}:${dispatch.slice(5)}`;
    let group = this.#bindGroups.get(key);
    if (!group) {
      const entries = [];
      for (let i = 5, binding = 0; i < dispatch.length; i += 3, binding++) {
        const target = this.objects[dispatch[i]];
        const resource =
          target instanceof GPUBuffer
            ? { buffer: target, offset: dispatch[i + 1], size: dispatch[i + 2] }
            : target.createView({ dimension: this.list.objects[dispatch[i]].dimension });
        entries.push({ binding, resource });
      }
      const { layout } = this.pipelines[dispatch[0]];
      group = this.device.createBindGroup({ layout, entries });
      this.#bindGroups.set(key, group);
    }
    return group;
  }

  /** Makes the command list of an entry point: pipelines and bind groups looked up once. */
  record(entry) {
    if (entry.recorded) return entry.recorded;
    entry.recorded = entry.steps.map(({ dispatch, copy }) => {
      if (copy) return { copy };
      const [pipeline, x, y, z] = dispatch;
      return {
        pipeline: this.pipelines[pipeline].pipeline,
        group: this.#bindGroup(dispatch),
        workgroups: [x, y, z],
      };
    });
    return entry.recorded;
  }

  /** Encodes one replay. */
  encode(encoder, entry) {
    let pass;
    let last;
    for (const { copy, pipeline, group, workgroups } of this.record(entry)) {
      if (copy) {
        pass?.end();
        pass = last = undefined;
        const [src, srcOffset, dst, dstOffset, bytes] = copy;
        encoder.copyBufferToBuffer(this.objects[src], srcOffset, this.objects[dst], dstOffset, bytes);
        continue;
      }
      pass ??= encoder.beginComputePass();
      if (pipeline !== last) pass.setPipeline((last = pipeline));
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...workgroups);
    }
    pass?.end();
  }

  /**
   * Submits `times` replays, then copies ranges (`{object, offset, bytes}`) to a new host buffer:
   * a promise of it, mapped, ranges behind each other at multiples of 8.
   */
  async submit(entry, times, ranges) {
    this.check();
    const { device } = this;
    const size = ranges.reduce((sum, r) => sum + Math.ceil(r.bytes / 8) * 8, 0);
    const work = () => {
      const encoder = device.createCommandEncoder();
      for (let i = 0; i < times; i++) this.encode(encoder, entry);
      let staging;
      if (size > 0) {
        const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
        staging = device.createBuffer({ label: 'read', size, usage });
        let at = 0;
        for (const { object, offset, bytes } of ranges) {
          const whole = Math.ceil(bytes / 4) * 4;
          encoder.copyBufferToBuffer(this.objects[object], offset, staging, at, whole);
          at += Math.ceil(bytes / 8) * 8;
        }
      }
      device.queue.submit([encoder.finish()]);
      return staging;
    };
    let staging;
    // an entry point that ran once runs always
    if (this.#checked.has(entry)) {
      staging = work();
    } else {
      staging = await this.#scoped(`entry point ${entry.name}`, work);
      this.#checked.add(entry);
    }
    if (!staging) return undefined;
    try {
      await staging.mapAsync(GPUMapMode.READ);
    } catch (error) {
      throw await this.failure(error, 'the results cannot be read');
    }
    return staging;
  }

  /** Writes to a buffer for the submits that follow. */
  write(object, offset, bytes) {
    let data = bytes;
    if (bytes.byteLength % 4 !== 0) {
      data = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
      data.set(bytes);
    }
    this.device.queue.writeBuffer(this.objects[object], offset, data);
  }

  /** Zero-fills the states. */
  resetStates() {
    const encoder = this.device.createCommandEncoder();
    this.list.objects.forEach((o, i) => {
      if (o.role === 'state' && o.bytes !== undefined) encoder.clearBuffer(this.objects[i]);
    });
    this.device.queue.submit([encoder.finish()]);
  }

  destroy() {
    this.objects.forEach((o) => o.destroy());
    this.objects = [];
    this.#bindGroups.clear();
  }
}
