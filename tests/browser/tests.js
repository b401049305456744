// The runtime for browsers against expected outputs, and what it says when things go wrong.
import { clearCache, isSupported, load } from '/drift/drift.js';
import { check, close, equal, fails, numpy, report, test } from './harness.js';

const SHAPES = '/web/shapes.drift';
const TALES = '/web-chat/tales.drift';

async function size(url) {
  return Number((await fetch(url, { method: 'GET', cache: 'no-store' })).headers.get('content-length'));
}

const served = async () => Number(await (await fetch('/served')).text());

async function pictures() {
  const bytes = await numpy('/examples/shapes/pictures.npy');
  const logits = await numpy('/examples/shapes/logits.npy');
  return Array.from({ length: logits.length / 8 }, (_, i) => ({
    picture: Float32Array.from(bytes.subarray(i * 1024, (i + 1) * 1024)),
    logits: logits.subarray(i * 8, i * 8 + 8),
  }));
}

await report(`browser: ${navigator.userAgent.match(/Chrom\w+\/[\d.]+/)?.[0]}`);
await clearCache();

await test('WebGPU is there', async () => {
  check(await isSupported(), 'no WebGPU');
  const adapter = await navigator.gpu.requestAdapter();
  const { vendor, architecture, description } = adapter.info;
  return `${vendor} ${architecture} ${description}; ${[...adapter.features].join(' ')}`;
});

await test('shapes: all outputs as PyTorch has them', async () => {
  const events = [];
  const model = await load(SHAPES, { onProgress: (p) => events.push(p), cache: false });
  equal(model.inputs, [{ name: 'picture', type: 'float32', shape: [1, 1, 32, 32], size: 1024 }]);
  equal(model.outputs, [{ name: 'logits', type: 'float32', shape: [1, 8], size: 8 }]);
  equal(model.target, 'webgpu-generic');
  equal(events.at(-1).stage, 'ready');
  const downloads = events.filter((e) => e.stage === 'download');
  check(downloads.every((e, i) => i === 0 || e.loaded >= downloads[i - 1].loaded), 'progress grows');
  equal(downloads.at(-1).loaded, downloads.at(-1).total, 'bytes at the end');
  let worst = 0;
  for (const { picture, logits } of await pictures()) {
    const out = await model.run({ picture });
    worst = Math.max(worst, close(out.logits, logits, 1e-4, 0, 'logits'));
  }
  model.dispose();
  await fails('disposed', () => model.run({ picture: new Float32Array(1024) }));
  return `largest error ${worst.toExponential(1)}`;
});

await test('runs may be started before others are done', async () => {
  const model = await load(SHAPES);
  const all = await pictures();
  const shared = new Float32Array(1024);
  const runs = all.map(({ picture }) => {
    shared.set(picture);
    return model.run({ picture: shared });
  });
  const outs = await Promise.all(runs);
  outs.forEach((out, i) => close(out.logits, all[i].logits, 1e-4, 0, `logits of run ${i}`));
  model.dispose();
});

await test('inputs of other kinds, and those that do not fit', async () => {
  const model = await load(SHAPES);
  const [{ picture, logits }] = await pictures();
  const nested = [[Array.from({ length: 32 }, (_, y) => Array.from(picture.subarray(y * 32, y * 32 + 32)))]];
  for (const given of [nested, Float64Array.from(picture)]) {
    close((await model.run({ picture: given })).logits, logits, 1e-4, 0, 'logits');
  }
  const wrong = [
    [{}, 'input "picture" is not given'],
    [{ picture, other: picture }, 'no input "other"'],
    [{ picture: picture.subarray(1) }, '1023 elements given, the model takes 1024'],
    [{ picture: 'dog.png' }, 'takes a typed array'],
    [{ picture: new Int32Array(1024) }, 'I32 given, the model takes F32'],
  ];
  for (const [inputs, words] of wrong) {
    const error = await fails('input', () => model.run(inputs));
    check(error.message.includes(words), error.message);
  }
  await fails('input', () => model.run({ picture }, { entryPoint: 'none' }));
  await fails('input', async () => {
    for await (const text of model.generate('Hello')) return text;
  });
  model.dispose();
});

await test('a second load downloads the head only', async () => {
  await clearCache();
  const whole = await size(SHAPES);
  const before = await served();
  (await load(SHAPES)).dispose();
  const first = (await served()) - before;
  (await load(SHAPES)).dispose();
  const second = (await served()) - before - first;
  check(first === whole, `${first} bytes the first time, the file has ${whole}`);
  check(second <= 1000, `${second} bytes the second time`);
  return `${first} bytes, then ${second}`;
});

await test('a connection that breaks off', async () => {
  // in the middle of answers, whose rest the client asks for again
  const model = await load('/hang-up/bundles/several.drift', { cache: false });
  const [{ picture, logits }] = await pictures();
  close((await model.run({ picture })).logits, logits, 1e-4, 0, 'logits');
  model.dispose();
});

await test('servers without ranges', async () => {
  const model = await load(`/plain${SHAPES}`, { cache: false });
  const [{ picture, logits }] = await pictures();
  close((await model.run({ picture })).logits, logits, 1e-4, 0, 'logits');
  model.dispose();
});

await test('a Blob, as from a file that was dropped', async () => {
  const blob = await (await fetch(SHAPES)).blob();
  const model = await load(blob);
  const [{ picture, logits }] = await pictures();
  close((await model.run({ picture })).logits, logits, 1e-4, 0, 'logits');
  model.dispose();
});

await test('of several variants, the one that fits', async () => {
  const model = await load('/bundles/several.drift');
  equal(model.target, 'webgpu-generic');
  equal(model.rejected.map((r) => r.target), ['vulkan-modern']);
  model.dispose();
  const error = await fails('no-variant', () => load('/bundles/vulkan.drift'));
  check(error.message.includes('api: needs vulkan, device has webgpu'), error.message);
  equal(error.rejected.length, 1);
});

await test('damaged files', async () => {
  const bytes = new Uint8Array(await (await fetch(SHAPES)).arrayBuffer());
  for (const cut of [0, 7, 20, 300, 5000, bytes.length - 1]) {
    for (const prefix of [`/cut/${cut}`, `/plain/cut/${cut}`]) {
      await fails('truncated', () => load(prefix + SHAPES, { cache: false }));
    }
  }
  // header, table, META, REQUIREMENTS, PLAN, shaders, weights
  for (const flip of [30, 100, 250, 350, 500, 9000, 30000, bytes.length - 1]) {
    const error = await fails('damaged', () => load(`/flip/${flip}${SHAPES}`, { cache: false }));
    check(error.message.includes('checksum'), error.message);
  }
  // damaged weights are not kept
  await clearCache();
  await fails('damaged', () => load(`/flip/30000${SHAPES}`));
  (await load(SHAPES)).dispose();
  await fails('not-a-bundle', () => load('/tests/index.html'));
  await fails('not-a-bundle', () => load('/examples/shapes/shapes.onnx'));
  const missing = await fails('network', () => load('/none.drift'));
  check(missing.message.includes('404'), missing.message);
  await fails('input', () => load(17));
  // and what came before is still there
  (await load(SHAPES)).dispose();
});

await test('a device of the caller, and its loss', async () => {
  const device = await (await navigator.gpu.requestAdapter()).requestDevice();
  const model = await load(SHAPES, { device });
  equal(model.device === device, true);
  const [{ picture }] = await pictures();
  await model.run({ picture });
  device.destroy();
  await fails('device-lost', () => model.run({ picture }));
  model.dispose();
});

await test('tales: the tokens of the reference, as text', async () => {
  const reference = (await (await fetch('/examples/tales/greedy_f64.json')).json())[0];
  const model = await load(TALES);
  check(model.isLanguageModel, 'it is a language model');
  equal(model.context, 512);
  equal(Array.from(await model.encode(reference.prompt)), reference.prompt_ids, 'ids of the prompt');
  const count = 40;
  const ids = [];
  let text = '';
  const begun = performance.now();
  const options = { maxTokens: count, temperature: 0, onToken: (id) => ids.push(id) };
  for await (const piece of model.generate(reference.prompt, options)) text += piece;
  const rate = count / (performance.now() - begun) * 1000;
  equal(ids, reference.greedy_ids.slice(0, count), 'ids');
  equal(text, await model.decode(ids), 'text');

  // the prompt with a part of the answer, whose keys and values are there: the same goes on
  const again = [];
  const longer = [...reference.prompt_ids, ...ids.slice(0, 10)];
  for await (const _ of model.generate(longer, { ...options, maxTokens: 5, onToken: (id) => again.push(id) }));
  equal(again, ids.slice(10, 15), 'ids behind a longer prompt');

  // leaving the loop stops, and leaves the model usable
  let pieces = 0;
  for await (const _ of model.generate(reference.prompt, options)) if (++pieces === 3) break;
  const [one, other] = await Promise.all(
    [7, 7].map(async (seed) => {
      let out = '';
      const drawn = { maxTokens: 8, temperature: 0.8, seed };
      for await (const piece of model.generate(reference.prompt, drawn)) out += piece;
      return out;
    }),
  );
  equal(one, other, 'text of one seed');
  const full = await fails('context-full', async () => {
    for await (const _ of model.generate(new Array(600).fill(5)));
  });
  check(full.message.includes('600 tokens'), full.message);
  await fails('input', async () => {
    for await (const _ of model.generate([5, 100000]));
  });
  await fails('input', async () => {
    for await (const _ of model.generate('x', { topP: 2 }));
  });
  await fails('input', async () => {
    for await (const _ of model.generate([{ role: 'user', content: 'x' }]));
  });
  model.dispose();
  return `${rate.toFixed(1)} tokens/s: ${text.slice(0, 60).trim()}…`;
});

const manifest = await fetch('/models/MANIFEST.json').then((r) => (r.ok ? r.json() : undefined));
if (!manifest) await report('skipped: real networks are not present');

const LARGER = '/bundles/cls_resnet20_cifar10.drift';
if (manifest) {
  await test('an interrupted download goes on where it stopped', async () => {
    await clearCache();
    const whole = await size(LARGER);
    const before = await served();
    const stop = new AbortController();
    const reason = await load(LARGER, {
      signal: stop.signal,
      onProgress: ({ stage, loaded }) => {
        if (stage === 'download' && loaded > whole - 40000) stop.abort();
      },
    }).then(() => 'loaded', (error) => error.name);
    equal(reason, 'AbortError');
    const first = (await served()) - before;
    (await load(LARGER)).dispose();
    const second = (await served()) - before - first;
    // pieces of 1 MiB are kept
    check(second < whole - (1 << 20), `${second} bytes after the interruption, the file has ${whole}`);
    return `${first} bytes, then ${second} of ${whole}`;
  });
}

for (const entry of manifest?.models ?? []) {
  const url = `/bundles/${entry.name}.drift`;
  if (!(await fetch(url)).ok) continue;
  await test(`${entry.name}: all outputs as onnxruntime has them`, async () => {
    const model = await load(url, { cache: false });
    const shapes = new Map(model.inputs.map((i) => [i.name, i.shape.join()]));
    const fits = (c) => Object.entries(c.inputs).every(([name, i]) => shapes.get(name) === i.shape.join());
    const cases = entry.cases.filter(fits);
    check(cases.length > 0, 'no case has the shapes of the bundle');
    let worst = 0;
    for (const { inputs, outputs } of cases) {
      const given = {};
      for (const [name, i] of Object.entries(inputs)) {
        given[name] = await numpy(`/models/${entry.name}/${i.file}`);
      }
      const out = await model.run(given);
      equal(Object.keys(out).sort(), Object.keys(outputs).sort(), 'outputs');
      for (const [name, o] of Object.entries(outputs)) {
        const want = await numpy(`/models/${entry.name}/${o.file}`);
        const { atol_fp32 } = entry.tolerance.per_output[name];
        worst = Math.max(worst, close(out[name], want, atol_fp32, entry.tolerance.rtol, name));
      }
    }
    model.dispose();
    return `${cases.length} cases, largest error ${worst.toExponential(1)}`;
  });
}

await test('no WebGPU', async () => {
  const frame = document.createElement('iframe');
  const told = new Promise((resolve) => addEventListener('message', (e) => resolve(e.data)));
  frame.src = 'without.html';
  document.body.append(frame);
  const { code, message } = await told;
  equal(code, 'no-webgpu');
  check(message.includes('has no WebGPU'), message);
});

await report('done');
