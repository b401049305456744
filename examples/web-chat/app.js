// Goes on from what a person writes, token by token.
import { DriftError, load } from '../drift/drift.js';

const $ = (id) => document.getElementById(id);
const STARTS = [
  'Once upon a time',
  'Once there was a brave mouse named Zoe.',
  'One day Emma the duck lost her red hat.',
];

let model;
let running; // AbortController while a story is told

async function tell() {
  stop();
  const mine = (running = new AbortController());
  const prompt = $('prompt').value.trim();
  $('given').textContent = prompt;
  $('told').textContent = '';
  $('stop').disabled = false;
  $('rate').textContent = 'Reading…';
  let tokens = 0;
  let first;
  const begun = performance.now();
  const rate = (now) => {
    const seconds = (now - first) / 1000;
    const speed = tokens > 1 && seconds > 0 ? `, ${((tokens - 1) / seconds).toFixed(1)} tokens/s` : '';
    return `${tokens} tokens${speed}, the first after ${Math.round(first - begun)} ms`;
  };
  try {
    const options = {
      maxTokens: 240,
      temperature: Number($('temperature').value),
      topP: 0.95,
      signal: mine.signal,
      onToken: () => {
        tokens++;
        first ??= performance.now();
      },
    };
    for await (const text of model.generate(prompt, options)) {
      if (mine !== running) return;
      $('told').textContent += text;
      $('rate').textContent = rate(performance.now());
    }
  } catch (error) {
    if (error.name === 'AbortError') return;
    if (error.code === 'input' || error.code === 'context-full') $('rate').textContent = error.message;
    else fail(error);
  } finally {
    if (mine === running) {
      running = undefined;
      $('stop').disabled = true;
    }
  }
}

function stop() {
  running?.abort();
  running = undefined;
  $('stop').disabled = true;
}

function fail(error) {
  console.error(error);
  const known = error instanceof DriftError;
  $('reason').textContent = known ? error.message : `Something went wrong: ${error.message}`;
  const advice = {
    'no-webgpu': 'Try a recent Chrome, Edge, Safari or Firefox, with graphics acceleration switched on.',
    'device-lost': 'Reload the page to go on.',
    network: 'Check the connection, and reload the page.',
  };
  $('advice').textContent = advice[error.code] ?? '';
  $('loading').hidden = $('workbench').hidden = true;
  $('failure').hidden = false;
  document.documentElement.dataset.state = 'failed';
}

try {
  model = await load('tales.drift', {
    onProgress: ({ stage, loaded, total }) => {
      $('progress').value = loaded / total;
      $('stage').textContent =
        stage === 'download'
          ? `Loading the model: ${(loaded / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`
          : `Preparing its kernels: ${loaded} of ${total}`;
    },
  });
  for (const start of STARTS) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = start;
    button.addEventListener('click', () => {
      $('prompt').value = start;
      tell();
    });
    $('starts').append(button);
  }
  $('prompt').value = STARTS[0];
  $('form').addEventListener('submit', (e) => {
    e.preventDefault();
    tell();
  });
  $('prompt').addEventListener('keydown', (e) => {
    if (e.key === 'Enter' && !e.shiftKey) {
      e.preventDefault();
      tell();
    }
  });
  $('stop').addEventListener('click', stop);
  addEventListener('keydown', (e) => e.key === 'Escape' && stop());
  $('temperature').addEventListener('input', (e) => ($('temperature-value').value = e.target.value));
  $('loading').hidden = true;
  $('workbench').hidden = false;
  document.documentElement.dataset.state = 'done';
  tell();
} catch (error) {
  fail(error);
}
