// Which of eight shapes is in the picture? The network looks at it in grey, 32 by 32 pixels.
import { DriftError, load } from '../drift/drift.js';

const CLASSES = ['circle', 'ring', 'square', 'triangle', 'cross', 'star', 'stripes', 'dots'];
const SIDE = 32;
const $ = (id) => document.getElementById(id);
const pad = $('pad');
const ink = pad.getContext('2d', { willReadFrequently: true });
const seen = $('seen').getContext('2d', { willReadFrequently: true });

let model;
let camera; // stream while it is on

// --- from a picture to the network and its answer ---

/** The middle square of a picture, as grey values of 32 by 32 pixels. */
function look(source, width, height) {
  const side = Math.min(width, height);
  seen.imageSmoothingEnabled = true;
  seen.imageSmoothingQuality = 'high';
  seen.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SIDE, SIDE);
  const image = seen.getImageData(0, 0, SIDE, SIDE);
  const grey = new Float32Array(SIDE * SIDE);
  for (let i = 0; i < grey.length; i++) {
    const [r, g, b] = image.data.subarray(4 * i);
    grey[i] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
    image.data.fill(grey[i], 4 * i, 4 * i + 3);
  }
  seen.putImageData(image, 0, 0);
  return grey;
}

async function answer(grey) {
  const begun = performance.now();
  const { logits } = await model.run({ picture: grey });
  const time = performance.now() - begun;
  const most = Math.max(...logits);
  const shares = Array.from(logits, (v) => Math.exp(v - most));
  const sum = shares.reduce((a, b) => a + b);
  show(shares.map((s) => s / sum), time);
}

function show(shares, time) {
  const best = shares.indexOf(Math.max(...shares));
  const percent = (share) => `${Math.round(share * 100)} %`;
  // not announced again and again while the camera runs
  const text = `${CLASSES[best]}, ${percent(shares[best])}`;
  if ($('answer').textContent !== text) $('answer').textContent = text;
  [...$('bars').children].forEach((row, i) => {
    row.style.setProperty('--share', shares[i]);
    row.classList.toggle('best', i === best);
    row.lastElementChild.textContent = percent(shares[i]);
  });
  $('time').textContent = `${time.toFixed(1)} ms`;
}

let busy = false;

/** Looks at what is on the pad or in the camera; skips frames that come while one is under way. */
async function update() {
  if (busy) return;
  busy = true;
  try {
    const video = $('video');
    const [w, h] = camera ? [video.videoWidth, video.videoHeight] : [pad.width, pad.height];
    await answer(look(camera ? video : pad, w, h));
  } catch (error) {
    fail(error);
  } finally {
    busy = false;
  }
}

// --- where pictures come from ---

function blank() {
  ink.fillStyle = '#f4f4f0';
  ink.fillRect(0, 0, pad.width, pad.height);
}

function place(source, width, height, smooth = true) {
  const scale = Math.max(pad.width / width, pad.height / height);
  const [w, h] = [width * scale, height * scale];
  ink.imageSmoothingEnabled = smooth;
  ink.drawImage(source, (pad.width - w) / 2, (pad.height - h) / 2, w, h);
  $('hint').hidden = true;
}

async function open(file) {
  if (!file) return;
  try {
    const picture = await createImageBitmap(file);
    await stopCamera();
    blank();
    place(picture, picture.width, picture.height);
    await update();
  } catch {
    $('answer').textContent = `“${file.name}” is no picture that this browser can show`;
  }
}

function drawing() {
  let last;
  const at = (e) => {
    const box = pad.getBoundingClientRect();
    const scale = pad.width / box.width;
    return [(e.clientX - box.left) * scale, (e.clientY - box.top) * scale];
  };
  pad.addEventListener('pointerdown', (e) => {
    pad.setPointerCapture(e.pointerId);
    last = at(e);
    $('hint').hidden = true;
  });
  pad.addEventListener('pointermove', (e) => {
    if (!last) return;
    const next = at(e);
    ink.strokeStyle = '#18202a';
    ink.lineWidth = 30;
    ink.lineCap = 'round';
    ink.beginPath();
    ink.moveTo(...last);
    ink.lineTo(...next);
    ink.stroke();
    last = next;
    update();
  });
  const end = () => {
    if (last) update();
    last = undefined;
  };
  pad.addEventListener('pointerup', end);
  pad.addEventListener('pointercancel', end);
}

function dropping() {
  const zone = $('drop');
  for (const kind of ['dragenter', 'dragover']) {
    zone.addEventListener(kind, (e) => {
      e.preventDefault();
      zone.classList.add('over');
    });
  }
  zone.addEventListener('dragleave', () => zone.classList.remove('over'));
  zone.addEventListener('drop', (e) => {
    e.preventDefault();
    zone.classList.remove('over');
    open(e.dataTransfer.files[0]);
  });
  // a picture dropped beside the zone must not replace the page
  addEventListener('dragover', (e) => e.preventDefault());
  addEventListener('drop', (e) => e.preventDefault());
  addEventListener('paste', (e) => open(e.clipboardData.files[0]));
}

async function startCamera() {
  const video = $('video');
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch (error) {
    $('answer').textContent = `No camera: ${error.message}`;
    return;
  }
  video.srcObject = camera;
  await video.play();
  $('camera').setAttribute('aria-pressed', 'true');
  [pad.hidden, video.hidden, $('hint').hidden] = [true, false, true];
  const frame = async () => {
    if (!camera) return;
    await update();
    requestAnimationFrame(frame);
  };
  frame();
}

async function stopCamera() {
  if (!camera) return;
  camera.getTracks().forEach((t) => t.stop());
  camera = undefined;
  $('camera').setAttribute('aria-pressed', 'false');
  [pad.hidden, $('video').hidden] = [false, true];
}

async function samples() {
  // test pictures of the network's author, as numpy keeps them: behind a header, one byte a pixel
  const bytes = new Uint8Array(await (await fetch('pictures.npy')).arrayBuffer());
  const pixels = bytes.subarray(10 + bytes[8] + 256 * bytes[9]);
  for (let i = 0; i * SIDE * SIDE < pixels.length; i++) {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = SIDE;
    const image = new ImageData(SIDE, SIDE);
    for (let p = 0; p < SIDE * SIDE; p++) {
      image.data.fill(pixels[i * SIDE * SIDE + p], 4 * p, 4 * p + 3);
      image.data[4 * p + 3] = 255;
    }
    canvas.getContext('2d').putImageData(image, 0, 0);
    const button = document.createElement('button');
    button.type = 'button';
    button.ariaLabel = `Sample picture ${i + 1}: a ${CLASSES[i >> 1]}`;
    button.append(canvas);
    button.addEventListener('click', async () => {
      await stopCamera();
      blank();
      place(canvas, SIDE, SIDE, false);
      await update();
    });
    $('samples').append(button);
  }
}

// --- the page ---

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

function facts(begun) {
  const rows = {
    Network: model.meta.model,
    Loaded: `${Math.round(performance.now() - begun)} ms`,
    'One run': '–',
  };
  for (const [name, value] of Object.entries(rows)) {
    const [term, fact] = [document.createElement('dt'), document.createElement('dd')];
    [term.textContent, fact.textContent] = [name, value];
    if (name === 'One run') fact.id = 'time';
    $('facts').append(term, fact);
  }
  for (const name of CLASSES) {
    const row = document.createElement('li');
    const [label, share] = [document.createElement('span'), document.createElement('span')];
    label.textContent = name;
    row.append(label, share);
    $('bars').append(row);
  }
}

try {
  const begun = performance.now();
  model = await load('shapes.drift', {
    onProgress: ({ stage, loaded, total }) => {
      $('progress').value = loaded / total;
      $('stage').textContent =
        stage === 'download' ? 'Loading the network…' : 'Preparing its kernels…';
    },
  });
  facts(begun);
  await samples();
  drawing();
  dropping();
  $('file').addEventListener('change', (e) => open(e.target.files[0]));
  $('clear').addEventListener('click', async () => {
    await stopCamera();
    blank();
    $('hint').hidden = false;
    $('answer').textContent = '…';
  });
  if (navigator.mediaDevices?.getUserMedia) $('camera').hidden = false;
  $('camera').addEventListener('click', () => (camera ? stopCamera() : startCamera()));
  $('loading').hidden = true;
  $('workbench').hidden = false;
  blank();
  $('samples').children[10].click();
  document.documentElement.dataset.state = 'done';
} catch (error) {
  fail(error);
}
