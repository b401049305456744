// Variants with f16 and subgroups, in a browser that has both.
import { load } from '/drift/drift.js';
import { check, close, equal, numpy, report, test } from './harness.js';

await test('the adapter has f16 and subgroups', async () => {
  const { features, info } = await navigator.gpu.requestAdapter();
  check(features.has('shader-f16') && features.has('subgroups'), [...features].join(' '));
  return `subgroups of ${info.subgroupMinSize}`;
});

await test('shapes in f16: nearly what PyTorch gives', async () => {
  const model = await load('/bundles/shapes-f16.drift', { cache: false });
  equal(model.target, 'webgpu-lavapipe');
  const bytes = await numpy('/examples/shapes/pictures.npy');
  const logits = await numpy('/examples/shapes/logits.npy');
  const scale = logits.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  let worst = 0;
  for (let i = 0; i < logits.length / 8; i++) {
    const picture = Float32Array.from(bytes.subarray(i * 1024, (i + 1) * 1024));
    const out = await model.run({ picture });
    const want = logits.subarray(i * 8, i * 8 + 8);
    worst = Math.max(worst, close(out.logits, want, 2e-3 * scale, 0, 'logits'));
  }
  model.dispose();
  return `largest error ${worst.toExponential(1)} beside ${scale.toFixed(1)}`;
});

await test('tales in f16: the tokens of the reference', async () => {
  const answers = await (await fetch('/examples/tales/greedy_f64.json')).json();
  const model = await load('/bundles/tales-f16.drift', { cache: false });
  equal(model.target, 'webgpu-lavapipe');
  for (const { prompt, greedy_ids } of answers) {
    const ids = [];
    const options = { maxTokens: 20, temperature: 0, onToken: (id) => ids.push(id) };
    for await (const _ of model.generate(prompt, options));
    equal(ids, greedy_ids.slice(0, 20), `ids behind ${prompt}`);
  }
  model.dispose();
  return `${answers.length} prompts`;
});

await report('done');
